"""The API of who operates webhooks."""

{% set may_operate = "Depends(superuser)" if cookiecutter.auth == "users" else 'Depends(requires("webhooks:admin"))' %}
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

{% if cookiecutter.auth == "api_key" %}
from app.api_keys.access import requires
{% endif %}
from app.db import Reader, Session, now
from app.pagination import LARGEST, fetch_page
{% if cookiecutter.auth == "users" %}
from app.users.access import superuser
{% endif %}
from app.webhooks import service
from app.webhooks.encryption import payload_of
from app.webhooks.schemas import (
    Purged,
    PurgeFilter,
    Replayed,
    ReplayFilter,
    WebhookEventDetail,
    WebhookEventPage,
    WebhookEventQuery,
    WebhookEventRead,
)
from app.webhooks.service import EVENTS, get_event

EventNumber = Annotated[int, Path(ge=1, le=LARGEST)]


async def keep_nowhere(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(
    prefix="/webhook-events",
    tags=["webhook-events"],
    dependencies=[{{ may_operate }}, Depends(keep_nowhere)],
)


@router.get("", name="list")
async def list_page(
    query: Annotated[WebhookEventQuery, Query()], session: Reader
) -> WebhookEventPage:
    """The newest first."""
    items, next_cursor = await fetch_page(
        session,
        service.events(query),
        {"id": EVENTS.c.id},
        EVENTS.c.id,
        sort="-id",
        cursor=query.cursor,
        limit=query.limit,
    )
    return WebhookEventPage.model_validate({"items": items, "next_cursor": next_cursor})


@router.get("/{event_number:int}")
async def read(
    event_number: EventNumber, session: Reader, request: Request, payload: bool = False
) -> WebhookEventDetail:
    event = await get_event(session, event_id=event_number)
    detail = WebhookEventDetail.model_validate(event)
    if payload and (body := payload_of(request.app.state.settings, event)) is not None:
        detail.payload = body.decode(errors="replace")
    return detail


@router.post("/replay")
async def replay_matching(matching: ReplayFilter, session: Session) -> Replayed:
    """What is finished and has its payload, the oldest first, up to 1000 at once."""
    ids = await service.replayable(session, matching=matching, after=matching.after)
    done = await service.replay(session, ids=ids)
    return Replayed(replayed=len(done), last=ids[-1] if len(ids) == service.AT_ONCE else None)


@router.post("/purge")
async def purge(matching: PurgeFilter, session: Session) -> Purged:
    """Take the payloads of old events away, up to 1000 at once. That they came stays known."""
    before = now() - timedelta(days=matching.days)
    count = await service.purge(session, before=before, dead=matching.dead)
    return Purged(purged=count, more=count == service.AT_ONCE)


@router.post("/{event_number:int}/replay")
async def replay(event_number: EventNumber, session: Session) -> WebhookEventRead:
    """Handle it once more, whatever became of it."""
    await service.replay_one(session, event_id=event_number)
    event = await get_event(session, event_id=event_number)
    await session.refresh(event)
    return WebhookEventRead.model_validate(event)
