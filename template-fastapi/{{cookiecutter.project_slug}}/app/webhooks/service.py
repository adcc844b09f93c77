"""Operating webhooks: what has come, what became of it, and once more."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFoundError, UnprocessableError
from app.jobs import queue
from app.jobs.models import State
from app.jobs.waking import enqueued
from app.named_settings import MOST_NAME
from app.webhooks.models import WebhookEvent
from app.webhooks.signatures.scheme import MOST_ID, MOST_TYPE

EVENTS = WebhookEvent.__table__
SHOWN = [column for column in EVENTS.c if column.name not in ("lease", "lease_until", "body")]
WITHOUT_NUL = r"^[^\x00]*$"  # PostgreSQL cannot compare with it
AT_ONCE = 1000


class EventFilter(BaseModel):
    """Which events: what is left out does not matter."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(default=None, max_length=MOST_NAME, pattern=WITHOUT_NUL)
    event_type: str | None = Field(default=None, max_length=MOST_TYPE, pattern=WITHOUT_NUL)
    event_id: str | None = Field(default=None, max_length=MOST_ID, pattern=WITHOUT_NUL)
    state: State | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        given = self.model_dump(include={"source", "event_type", "event_id"})
        conditions = [EVENTS.c[name] == value for name, value in given.items() if value is not None]
        return [*conditions, queue.in_state(EVENTS, self.state)] if self.state else conditions


async def get_event(session: AsyncSession, *, event_id: int) -> WebhookEvent:
    """Raises NotFoundError."""
    event = await session.get(WebhookEvent, event_id)
    if event is None:
        raise NotFoundError("There is no webhook event with this id.")
    return event


def events(matching: EventFilter) -> Select[Any]:
    """Without payloads and leases."""
    return select(*SHOWN).where(*matching.conditions)


async def replay(session: AsyncSession, *, ids: Iterable[int]) -> list[int]:
    """Handle once more what is finished and has its payload: the ids for which that was so."""
    # Locked, so that none is purged in between.
    usable = (
        select(EVENTS.c.id)
        .where(EVENTS.c.id.in_(list(ids)), EVENTS.c.body.is_not(None))
        .with_for_update()
    )
    done = await queue.replay(session, WebhookEvent, (await session.scalars(usable)).all())
    enqueued(session, *((WebhookEvent.__tablename__, one) for one in done))
    return done


async def replay_one(session: AsyncSession, *, event_id: int) -> None:
    """Raises NotFoundError, or UnprocessableError with the reason."""
    event = await get_event(session, event_id=event_id)
    if not await replay(session, ids=[event_id]):
        purged = event.body is None and event.state in queue.FINISHED
        reason = "has no payload any more" if purged else f"is {event.state}, not finished"
        raise UnprocessableError(f"It cannot be handled once more: it {reason}.")


async def replayable(
    session: AsyncSession, *, matching: EventFilter, after: int = 0
) -> Sequence[int]:
    """The ids of the next of them, up to `AT_ONCE`, the oldest first. Raises UnprocessableError
    without a state: nobody means all that was ever done."""
    if matching.state not in queue.FINISHED:
        states = ", ".join(queue.FINISHED)
        raise UnprocessableError(f"Say in which state they are: {states}.")
    found = await session.scalars(
        select(EVENTS.c.id)
        .where(*matching.conditions, EVENTS.c.body.is_not(None), EVENTS.c.id > after)
        .order_by(EVENTS.c.id)
        .limit(AT_ONCE)
    )
    return found.all()


async def purge(session: AsyncSession, *, before: datetime, dead: bool = False) -> int:
    """Take the payloads of up to `AT_ONCE` events away that were finished before. That they came is
    still known, so that they cannot come again. What is dead is left alone unless asked for."""
    states = [state for state in queue.FINISHED if dead or state is not State.DEAD]
    rows = (
        select(EVENTS.c.id)
        .where(
            EVENTS.c.finished_at.is_not(None),
            EVENTS.c.body.is_not(None),
            EVENTS.c.finished_at < before,
            queue.in_state(EVENTS, *states),
        )
        .order_by(EVENTS.c.finished_at)
        .limit(AT_ONCE)
    )
    gone = await session.execute(
        update(EVENTS)
        .where(EVENTS.c.id.in_(queue.locked(rows)))
        .values(body=None, headers={})
        .returning(EVENTS.c.id)
    )
    return len(gone.all())
