from datetime import timedelta

import pytest
from httpx2 import AsyncClient
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, now
from app.jobs.doctor import check_work
from app.jobs.models import Job, State
from app.jobs.registry import every, job
from app.jobs.service import enqueue
from app.settings import Settings
from tests.jobs.working import add


@job(name="tests.health")
async def nothing(session: AsyncSession) -> None: ...


@pytest.fixture(autouse=True)
def known() -> None:
    job(name="tests.health")(nothing)


async def test_health_counts_what_is_not_done(client: AsyncClient, session: AsyncSession) -> None:
    await enqueue(session, nothing, due_at=now() - timedelta(seconds=90))
    await enqueue(session, nothing, delay=timedelta(hours=1))
    counts = (await client.get("/health/work")).json()["jobs"]

    assert (counts["waiting"], counts["running"], counts["dead"]) == (2, 0, 0)
    assert 90 <= counts["oldest"] < 120


async def test_doctor_names_a_handler_that_cannot_be_meant_so(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_handlers() -> None:
        every("daily")

    monkeypatch.setattr("app.jobs.doctor.load_handlers", load_handlers)
    [(level, sentence)] = await check_work(quick)

    assert level == "problem"
    assert sentence.startswith("In app/handlers/: 'daily' is no schedule")


async def test_doctor_names_what_is_dead_and_what_is_late(
    quick: Settings, database: Database
) -> None:
    assert await check_work(quick) == [("ok", "No work is dead or late.")]

    await add(database, nothing)
    async with database.transactions.begin() as session:
        await session.execute(update(Job).values(state=State.DEAD, finished_at=now()))
    await add(database, nothing, due_at=now() - timedelta(seconds=90))
    [dead, late] = await check_work(quick)

    assert dead == (
        "warning",
        "In jobs, 1 are dead: look at their errors, then try them again.",
    )
    assert late[1].startswith("In jobs, the oldest waits for 9")
