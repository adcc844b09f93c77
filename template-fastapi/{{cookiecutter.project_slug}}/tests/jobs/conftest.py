import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
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

ROOT = Path(__file__).parent.parent.parent


class Start(Protocol):
    def __call__(self, command: str, **environment: str) -> "subprocess.Popen[str]": ...


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


@pytest.fixture
def start(quick: Settings, database: Database, tmp_path: Path) -> Iterator[Start]:
    """Starts a command as a process of its own, which knows the jobs of `handlers`."""
    settings = {
        "APP_ENVIRONMENT": "development",
        "APP_SECRET_KEY": quick.secret_key.get_secret_value(),
        "APP_DATABASE_URL": quick.database_url.get_secret_value(),
        "APP_JOB_LEASE": "0.5",
        "APP_WORKER_POLL": "0.05",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    started = []

    def start(command: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(  # noqa: S603 - a command of ours, without input
            [sys.executable, "-m", "tests.jobs.handlers", command],
            # Where there is no .env.
            cwd=tmp_path,
            env=os.environ | settings | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
