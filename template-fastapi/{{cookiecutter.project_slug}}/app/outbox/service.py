import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.errors import NotFoundError
from app.jobs import queue
from app.jobs.models import State, check_key
from app.jobs.waking import enqueued
from app.outbox.models import OutboxMessage
from app.settings import Settings

MESSAGES = OutboxMessage.__table__
MAX_ATTEMPTS = 60  # with the pauses between them that is a day, or up to two
AT_ONCE = 1000


async def send(
    session: AsyncSession,
    target: str,
    event_type: str,
    data: Mapping[str, Any],
    *,
    delay: timedelta | None = None,
    order_key: str | None = None,
) -> int:
    """The id of a new message, which leaves after the session's transaction has committed, and never
    when it rolls back. `data` is JSON.

    Those with the same `order_key` leave one after the other. Raises LookupError for a target that
    APP_OUTBOX_TARGETS does not have, ValueError for a type, data or a key that cannot be kept.
    """
    check_target(session.info.get("settings"), target)
    check_key("order_key", order_key)
    check_key("The type of a message", event_type)
    moment = now()
    content = {"type": event_type, "timestamp": moment.isoformat(), "data": dict(data)}
    values = {
        "target": target,
        "event_type": event_type,
        "body": json.dumps(content, separators=(",", ":"), allow_nan=False),
        "due_at": moment + (delay or timedelta()),
        "max_attempts": MAX_ATTEMPTS,
        "order_key": order_key,
    }
    statement = insert(MESSAGES).values(values).returning(MESSAGES.c.id)
    number = int((await session.execute(statement)).scalar_one())
    enqueued(session, (MESSAGES.name, number))
    return number


def check_target(settings: Settings | None, target: str) -> None:
    """Raises LookupError. Sessions of tests do not know the settings."""
    if settings is not None and target not in settings.outbox_targets:
        known = ", ".join(settings.outbox_targets) or "it has none"
        raise LookupError(f"There is no target {target} in APP_OUTBOX_TARGETS ({known}).")


def messages(*, state: State | None = None, target: str | None = None) -> Select[Any]:
    found = select(OutboxMessage)
    if state:
        found = found.where(queue.in_state(MESSAGES, state))
    if target:
        found = found.where(OutboxMessage.target == target)
    return found


async def list_messages(
    session: AsyncSession,
    *,
    state: State | None = None,
    target: str | None = None,
    limit: int = 50,
) -> Sequence[OutboxMessage]:
    """The newest first."""
    newest = messages(state=state, target=target).order_by(OutboxMessage.id.desc()).limit(limit)
    return (await session.scalars(newest)).all()


async def get_message(session: AsyncSession, *, number: int) -> OutboxMessage:
    """Raises NotFoundError."""
    message = await session.get(OutboxMessage, number)
    if message is None:
        raise NotFoundError(f"There is no message {number}.")
    return message


async def retry(session: AsyncSession, *, ids: Iterable[int]) -> list[int]:
    """Send what is finished once more, with the same message id: the ids for which that was so."""
    done = await queue.replay(session, OutboxMessage, ids)
    enqueued(session, *((MESSAGES.name, one) for one in done))
    return done


async def matching(
    session: AsyncSession, *, state: State, target: str | None = None, after: int = 0
) -> Sequence[int]:
    """The ids of the next of them, up to `AT_ONCE`, the oldest first."""
    ids = messages(state=state, target=target).with_only_columns(MESSAGES.c.id)
    ids = ids.where(MESSAGES.c.id > after).order_by(MESSAGES.c.id).limit(AT_ONCE)
    return (await session.scalars(ids)).all()


async def cancel(session: AsyncSession, *, ids: Iterable[int]) -> list[int]:
    """What waits does not leave. What is on its way may have arrived."""
    return await queue.cancel(session, OutboxMessage, ids)
