"""A receiver of webhooks on loopback, and what tests of the outbox share."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.db import Database
from app.outbox import service
from app.outbox.models import Delivery
from tests.jobs.working import until

SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2)]


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    port: int = 0
    # One for each request; then 204. Nothing at all is no answer.
    answers: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook?token=mine"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            writer.close()
            return
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.received.append(Received(first.split()[1], headers, body))
        answer = self.answers.pop(0) if self.answers else "204 No Content"
        if answer:
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        else:
            await reader.read()
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


async def send(
    database: Database, event_type: str = "lead.won", *, target: str = "n8n", **data: object
) -> int:
    async with database.transactions.begin() as session:
        return await service.send(session, target, event_type, data)


async def get(database: Database, delivery_id: int) -> Delivery:
    async with database.readers() as session:
        return await service.get_delivery(session, delivery_id=delivery_id)


async def ended(database: Database, delivery_id: int) -> Delivery:
    async def is_finished() -> bool:
        return (await get(database, delivery_id)).finished_at is not None

    await until(is_finished)
    return await get(database, delivery_id)


async def tried(database: Database, delivery_id: int) -> Delivery:
    """As it waits after an attempt that failed."""

    async def has_failed() -> bool:
        return (await get(database, delivery_id)).last_error is not None

    await until(has_failed)
    return await get(database, delivery_id)
