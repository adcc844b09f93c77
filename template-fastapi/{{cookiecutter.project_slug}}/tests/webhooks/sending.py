"""What tests of webhooks share."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from httpx2 import AsyncClient, Response
from sqlalchemy import select

from app.db import Database
from app.jobs.models import State
from app.jobs.waking import Bell
from app.jobs.worker import Worker
from app.settings import Settings
from app.webhooks.models import WebhookEvent
from app.webhooks.signatures.scheme import (
    Delivery,
    Identity,
    Source,
    check_any,
    field_of,
    header,
    identity,
    json_body,
    json_of,
)
from tests.jobs.working import running, until

# Good for all types: Standard Webhooks wants base64, which hexadecimal digits are, too.
SECRET = "5ec7e7" * 8
NOW = 1_800_000_000.0


class TokenSource(Source):
    """A type that is in every project that has these tests."""

    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        check_any([header(delivery, "X-Token").encode()], [key.encode() for key in self.keys])
        event = json_of(delivery.body)
        return identity(field_of(event, "id"), field_of(event, "type"), otherwise=delivery.body)

    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        return Delivery(json_body(event_type, event_id), {"X-Token": self.keys[0]}, url)


class TypelessSource(TokenSource):
    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        return Identity(super().verify(delivery, at=at).id, "")


async def send(
    client: AsyncClient, event_id: str = "1", event_type: str = "order.paid", **fields: Any
) -> Response:
    body = {"id": event_id, "type": event_type} | fields
    headers = {"X-Token": SECRET, "Content-Type": "application/json"}
    return await client.post("/webhooks/shop", content=json.dumps(body), headers=headers)


async def events(database: Database) -> Sequence[WebhookEvent]:
    async with database.readers() as session:
        return (await session.scalars(select(WebhookEvent).order_by(WebhookEvent.id))).all()


async def states(database: Database) -> list[State]:
    return [event.state for event in await events(database)]


@asynccontextmanager
async def working(settings: Settings, database: Database) -> AsyncIterator[Worker]:
    quick = settings.model_copy(update={"worker_poll": 0.05, "worker_concurrency": 4})
    bell = Bell(quick, database)
    try:
        async with running(quick, bell) as worker:
            yield worker
    finally:
        await bell.close()


async def handled(settings: Settings, database: Database) -> list[State]:
    """Let a worker do all there is, and say how it ended."""

    async def all_ended() -> bool:
        return all(event.finished_at for event in await events(database))

    async with working(settings, database):
        await until(all_ended)
    return await states(database)
