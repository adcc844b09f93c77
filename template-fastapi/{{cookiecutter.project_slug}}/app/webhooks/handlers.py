"""What is done for which event. In a module of `app/handlers/`:

    @on("stripe", "invoice.paid", order_by=lambda event: event.data["data"]["object"]["customer"])
    async def invoice_paid(event: Event, session: AsyncSession) -> None: ...

What it writes with the session is committed together with the event's end, once. What it does
elsewhere may happen again, when it is tried again: give that `event.id` as idempotency key.
"""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs.models import MAX_ATTEMPTS, MOST_KEY, State
from app.jobs.queue import Claimed
from app.jobs.registry import GiveUpError, Kind, RegistrationError, name_of, register
from app.webhooks.encryption import payload_of
from app.webhooks.models import WebhookEvent
from app.webhooks.signatures.scheme import form_of, hash_of


@dataclass(frozen=True)
class Event:
    """What a source told us."""

    source: str
    id: str
    type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    received_at: datetime = field(default_factory=now)

    @cached_property
    def data(self) -> Any:
        """The body as JSON, or the fields of a form by name. Raises ValueError when it is neither."""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return dict(form_of(self.body))
        return json.loads(self.body)


Handle = Callable[[Event, AsyncSession], Awaitable[None]]
AnyHandle = TypeVar("AnyHandle", bound=Handle)


@dataclass(frozen=True)
class Handler:
    handle: Handle
    order_by: Callable[[Event], object] | None
    max_attempts: int


# By source and type.
HANDLERS: dict[tuple[str, str], Handler] = {}


def on(
    source: str,
    event_type: str = "*",
    *,
    order_by: Callable[[Event], object] | None = None,
    max_attempts: int = MAX_ATTEMPTS,
) -> Callable[[AnyHandle], AnyHandle]:
    """The function below handles these events. `invoice.*` is all that begins with `invoice.`, and
    `*` all of the source; the longest one that fits is taken.

    Events of a source for which `order_by` gives the same are handled one at a time, in the order in
    which they came.
    """

    def decorate(handle: AnyHandle) -> AnyHandle:
        asynchronous = inspect.iscoroutinefunction(handle)
        if not asynchronous:
            raise RegistrationError(
                f"The handler {name_of(handle)} is no async function: write `async def`."
            )
        known = HANDLERS.get((source, event_type))
        if known and name_of(known.handle) != name_of(handle):
            raise RegistrationError(
                f"Two handlers are for {event_type} of {source}: {name_of(known.handle)} and"
                f" {name_of(handle)}. Let one of them call the other."
            )
        HANDLERS[source, event_type] = Handler(handle, order_by, max_attempts)
        return handle

    return decorate


def find(source: str, event_type: str) -> Handler | None:
    parts = event_type.split(".")
    prefixes = [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    for pattern in (event_type, *(f"{prefix}.*" for prefix in prefixes), "*"):
        if handler := HANDLERS.get((source, pattern)):
            return handler
    return None


def order_key_of(event: Event) -> str | None:
    """None also when a handler's function fails: that must not keep the event from being kept."""
    handler = find(event.source, event.type)
    if handler is None or handler.order_by is None:
        return None
    try:
        value = handler.order_by(event)
        key = None if value is None else f"{event.source} {value}"
    except Exception as error:
        # The type alone: a message may have a part of the payload in it.
        structlog.get_logger().warning(
            "webhook_without_order", source=event.source, error=type(error).__name__
        )
        return None
    if key is None or (len(key) <= MOST_KEY and key.isprintable()):
        return key
    return hash_of(key.encode(errors="surrogatepass"))


def max_attempts_of(event: Event) -> int:
    handler = find(event.source, event.type)
    return handler.max_attempts if handler else MAX_ATTEMPTS


async def run_event(session: AsyncSession, row: Claimed) -> State:
    handler = find(row.source, row.event_type)
    if handler is None:
        return State.IGNORED
    body = payload_of(session.info["settings"], row)
    if body is None:
        raise GiveUpError("Its payload was purged.")
    event = Event(row.source, row.event_id, row.event_type, body, row.headers, row.created_at)
    await handler.handle(event, session)
    return State.DONE


register(Kind(WebhookEvent, run_event, name=lambda row: f"{row.source} {row.event_type}".strip()))
