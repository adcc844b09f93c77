from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest
from sqlalchemy import delete

from app.db import Database
from app.idempotency import IdempotencyKey
from app.jobs import registry
from app.jobs.models import Job, Schedule
from app.jobs.waking import Bell
from app.jobs.worker import Worker
from app.settings import Settings
from tests.jobs.working import running


class Works(Protocol):
    def __call__(self, **changed: float) -> AbstractAsyncContextManager[Worker]: ...


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Nobody waits long for anything."""
    short = {"worker_poll": 0.05, "job_lease": 0.6, "worker_concurrency": 4}
    return settings.model_copy(update=short)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test registers is unknown to the next."""
    registry.load_handlers()
    jobs, crons = dict(registry.JOBS), dict(registry.CRONS)
    yield
    registry.JOBS.clear()
    registry.JOBS.update(jobs)
    registry.CRONS.clear()
    registry.CRONS.update(crons)


@pytest.fixture
async def database(quick: Settings) -> AsyncIterator[Database]:
    """What it commits is there for others; no row of work is left to the next test."""
    database = Database(quick)
    yield database
    async with database.transactions.begin() as session:
        for model in (Job, Schedule, IdempotencyKey):
            await session.execute(delete(model))
    await database.close()


@pytest.fixture
async def bell(quick: Settings, database: Database) -> AsyncIterator[Bell]:
    bell = Bell(quick, database)
    yield bell
    await bell.close()


@pytest.fixture
def works(quick: Settings, bell: Bell) -> Works:
    """A worker that runs in the background until the block ends."""
    return lambda **changed: running(quick.model_copy(update=changed), bell)
