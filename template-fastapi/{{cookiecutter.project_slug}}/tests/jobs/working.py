"""What tests of jobs share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, now
from app.idempotency import IdempotencyKey
from app.jobs import registry, service
from app.jobs.models import Job
from app.jobs.waking import Bell
from app.jobs.worker import Worker
from app.settings import Settings

PATIENCE = 15  # seconds, on a busy machine


@asynccontextmanager
async def running(settings: Settings, bell: Bell) -> AsyncIterator[Worker]:
    worker = Worker(settings, bell)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await happened():  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.01)


async def write_effect(session: AsyncSession, of: str = "") -> None:
    """A row for each time that it is done."""
    row = IdempotencyKey(
        fingerprint=uuid4().bytes, body_hash=b"", answer=of, expires_at=now() + timedelta(days=1)
    )
    session.add(row)
    await session.flush()


async def effects(database: Database) -> int:
    async with database.readers() as session:
        number = select(func.count()).select_from(IdempotencyKey)
        return await session.scalar(number) or 0


async def add(database: Database, job: str | registry.Function, **options: Any) -> int:
    async with database.transactions.begin() as session:
        return await service.enqueue(session, job, **options)


async def get(database: Database, job_id: int) -> Job:
    async with database.readers() as session:
        return await service.get_job(session, job_id=job_id)


async def finished(database: Database, *ids: int) -> list[Job]:
    """The jobs, when all of them have ended."""

    async def all_ended() -> bool:
        return all([(await get(database, one)).finished_at for one in ids])

    await until(all_ended)
    return [await get(database, one) for one in ids]


async def until_there(file: Path) -> None:
    async def is_there() -> bool:
        return await asyncio.to_thread(file.exists)

    await until(is_there)
