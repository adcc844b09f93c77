"""A worker that is a process of its own, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.db import Database
from app.jobs.models import State
from app.settings import Settings
from tests.jobs import handlers
from tests.jobs.conftest import Works
from tests.jobs.working import PATIENCE, add, effects, finished, get, until

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")

StartWorker = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start_worker(quick: Settings, database: Database) -> Iterator[StartWorker]:
    environment = os.environ | {
        "APP_ENVIRONMENT": "production",
        "APP_SECRET_KEY": quick.secret_key.get_secret_value(),
        "APP_DATABASE_URL": quick.database_url.get_secret_value(),
        "APP_ALLOWED_HOSTS": "test",
        "APP_PUBLIC_URL": "https://app.example.com",
        "APP_EMAIL_URL": "console:",
        "APP_JOB_LEASE": "0.5",
        "APP_WORKER_POLL": "0.05",
        "PYTHONUNBUFFERED": "1",
    }
    started = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.jobs.handlers"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, text=True)  # noqa: S603 - ours
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def test_a_worker_killed_in_the_middle_of_a_job_leaves_one_effect(
    database: Database, start_worker: StartWorker, works: Works, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    worker = start_worker()
    job_id = await enqueue_waiting(database, started, seconds=600)
    await until_there(started)

    worker.kill()
    # On SQLite the lock goes with the process, and so does what it wrote.
    await asyncio.to_thread(worker.wait, PATIENCE)
    async with works(job_lease=0.5):
        [done] = await finished(database, job_id)

    assert (done.state, done.attempts) == (State.DONE, 2)
    assert await effects(database) == 1


async def test_a_worker_that_is_told_to_stop_finishes_what_it_has(
    database: Database, start_worker: StartWorker, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    worker = start_worker()
    job_id = await enqueue_waiting(database, started, seconds=0.3)
    await until_there(started)

    worker.send_signal(signal.SIGTERM)
    said, _ = await asyncio.to_thread(worker.communicate, timeout=PATIENCE)

    assert worker.returncode == 0
    assert "Running jobs, 10 at once." in said
    assert '"event": "work_done"' in said
    job = await get(database, job_id)
    assert (job.state, job.attempts) == (State.DONE, 1)


async def enqueue_waiting(database: Database, started: Path, *, seconds: float) -> int:
    arguments = {"started": str(started), "seconds": seconds}
    return await add(database, handlers.write_and_wait, arguments=arguments)


async def until_there(file: Path) -> None:
    async def is_there() -> bool:
        return await asyncio.to_thread(file.exists)

    await until(is_there)
