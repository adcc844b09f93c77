"""What tests of the outbox share."""

import asyncio
import base64
import socket
from typing import Any

import pytest

from app.db import Database
from app.outbox import service
from app.outbox.models import OutboxMessage
from tests.jobs.working import until
from tests.receiver import Receiver

SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2)]


def url_of(receiver: Receiver) -> str:
    return f"http://localhost:{receiver.port}/hook?token=mine"


async def send(
    database: Database, event_type: str = "lead.won", *, target: str = "n8n", **data: object
) -> int:
    async with database.transactions.begin() as session:
        return await service.send(session, target, event_type, data)


async def get(database: Database, number: int) -> OutboxMessage:
    async with database.readers() as session:
        return await service.get_message(session, number=number)


async def ended(database: Database, number: int) -> OutboxMessage:
    async def is_finished() -> bool:
        return (await get(database, number)).finished_at is not None

    await until(is_finished)
    return await get(database, number)


async def tried(database: Database, number: int) -> OutboxMessage:
    """As it is after an attempt that failed."""

    async def has_failed() -> bool:
        return (await get(database, number)).last_error is not None

    await until(has_failed)
    return await get(database, number)


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[object]:
    """Let names lead to these addresses, one answer for each time that somebody asks; then nobody
    knows them. Returns the names that were asked for."""
    asked: list[object] = []
    waiting = list(answers)

    async def getaddrinfo(host: object, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if not waiting:
            raise socket.gaierror(f"{host} is not known.")
        return [(0, 0, 0, "", (address, port)) for address in waiting.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked
