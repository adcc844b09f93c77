import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.errors import NotFoundError
from app.jobs import queue
from app.jobs.models import State
from app.jobs.waking import enqueued
from app.outbox.models import Delivery
from app.settings import Settings

DELIVERIES = Delivery.__table__
MAX_ATTEMPTS = 60  # with the pauses between them that is about a day


async def send(
    session: AsyncSession,
    target: str,
    event_type: str,
    data: Mapping[str, Any],
    *,
    delay: timedelta | None = None,
    order_key: str | None = None,
) -> int:
    """The id of a new delivery, which leaves after the session's transaction has committed, and never
    when it rolls back. `data` is JSON.

    Those with the same `order_key` leave one after the other. Raises LookupError for a target that
    APP_OUTBOX_TARGETS does not have.
    """
    settings: Settings | None = session.info.get("settings")
    if settings and target not in settings.outbox_targets:
        known = ", ".join(settings.outbox_targets) or "there are none"
        raise LookupError(f"There is no target {target} in APP_OUTBOX_TARGETS ({known}).")
    moment = now()
    content = {"type": event_type, "timestamp": moment.isoformat(), "data": dict(data)}
    enqueued(session)
    values = {
        "target": target,
        "event_type": event_type,
        "body": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        "due_at": moment + (delay or timedelta()),
        "max_attempts": MAX_ATTEMPTS,
        "order_key": order_key,
    }
    statement = insert(DELIVERIES).values(values).returning(DELIVERIES.c.id)
    return int((await session.execute(statement)).scalar_one())


async def list_deliveries(
    session: AsyncSession,
    *,
    state: State | None = None,
    target: str | None = None,
    limit: int = 50,
) -> Sequence[Delivery]:
    """The newest first."""
    deliveries = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    if state:
        deliveries = deliveries.where(Delivery.state == state)
    if target:
        deliveries = deliveries.where(Delivery.target == target)
    return (await session.scalars(deliveries)).all()


async def get_delivery(session: AsyncSession, *, delivery_id: int) -> Delivery:
    """Raises NotFoundError."""
    delivery = await session.get(Delivery, delivery_id)
    if delivery is None:
        raise NotFoundError(f"There is no delivery {delivery_id}.")
    return delivery


async def retry(session: AsyncSession, *, ids: Iterable[int]) -> list[int]:
    """Deliver what is finished once more, with the same message id: the ids for which that was so."""
    enqueued(session)
    return await queue.replay(session, Delivery, ids)
