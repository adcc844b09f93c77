from datetime import timedelta

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, now
from app.jobs import metrics
from app.jobs.registry import job
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of, unreachable
from tests.jobs.working import add


async def test_what_waits_is_counted_with_the_age_of_the_oldest(
    app: FastAPI, database: Database
) -> None:
    @job()
    async def work(session: AsyncSession) -> None: ...

    await add(database, work, due_at=now() - timedelta(seconds=90))
    await add(database, work, due_at=now() + timedelta(days=1))
    async with client_of(app) as client:
        scraped = (await client.get("/metrics")).raise_for_status().text

    assert 'jobs{state="waiting"} 2.0' in scraped
    assert 'jobs{state="dead"} 0.0' in scraped
    [age] = [line for line in scraped.splitlines() if line.startswith("jobs_oldest_waiting")]
    assert 90 <= float(age.split()[1]) < 100


async def test_a_database_that_does_not_answer_leaves_the_other_numbers(settings: Settings) -> None:
    url = type(settings.database_url)(unreachable(settings))
    away = create_app(settings.model_copy(update={"database_url": url}))

    async with away.router.lifespan_context(away):
        assert await metrics.text(away) == b""
