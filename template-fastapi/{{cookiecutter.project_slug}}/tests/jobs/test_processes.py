"""A worker that is a process of its own, and how it ends."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from app.db import Database
from app.jobs.models import State
from tests.jobs.conftest import Start, Works
from tests.jobs.handlers import enqueue_waiting
from tests.jobs.working import PATIENCE, effects, finished, get, until_there

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")


async def test_a_worker_killed_in_the_middle_of_a_job_leaves_one_effect(
    database: Database, start: Start, works: Works, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    worker = start("worker")
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
    database: Database, start: Start, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    worker = start("worker")
    job_id = await enqueue_waiting(database, started, seconds=0.3)
    await until_there(started)

    worker.send_signal(signal.SIGTERM)
    said, _ = await asyncio.to_thread(worker.communicate, timeout=PATIENCE)

    assert worker.returncode == 0
    assert "Running jobs, 10 at once." in said
    assert "work_done" in said
    job = await get(database, job_id)
    assert (job.state, job.attempts) == (State.DONE, 1)
