from datetime import timedelta

import pytest
from httpx2 import AsyncClient
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
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


def test_what_cannot_be_meant_so_in_a_handler_is_one_sentence(
    quick: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_handlers() -> None:
        every("daily")

    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_DATABASE_URL", quick.database_url.get_secret_value())
    monkeypatch.setattr("app.jobs.doctor.load_handlers", load_handlers)
    monkeypatch.setattr("app.main.load_handlers", load_handlers)
    with pytest.raises(SystemExit, match="1"):
        main(["doctor"])
    with pytest.raises(SystemExit, match=r"^In app/handlers/: 'daily' is no schedule"):
        main(["worker"])

    assert "\nproblem  In app/handlers/: 'daily' is no schedule" in capsys.readouterr().out


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
