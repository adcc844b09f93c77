import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, now
from app.jobs import queue
from app.jobs.models import Job, Schedule
from app.jobs.recurring import Clock, next_time
from app.jobs.registry import CRONS, every
from app.jobs.waking import Bell
from tests.jobs.conftest import Works
from tests.jobs.working import add, effects, finished, get, until, write_effect


async def hourly() -> Clock:
    @every("0 * * * *", name="hourly")
    async def hourly(session: AsyncSession) -> None:
        await write_effect(session)

    return Clock({"hourly": "0 * * * *"})


async def make_due(database: Database, at: datetime) -> None:
    async with database.transactions.begin() as session:
        await session.execute(update(Schedule).values(due_at=at))


async def change(database: Database, job_id: int, **values: Any) -> None:
    async with database.transactions.begin() as session:
        await session.execute(update(Job).where(Job.id == job_id).values(values))


async def due_at(database: Database) -> datetime:
    async with database.readers() as session:
        return (await session.scalars(select(Schedule.due_at))).one()


async def open_jobs(database: Database) -> int:
    async with database.readers() as session:
        return (await queue.counts(session, Job)).waiting


async def test_times_are_those_of_cron() -> None:
    after = datetime(2030, 1, 31, 12, 30, tzinfo=UTC)

    assert next_time("0 * * * *", after) == datetime(2030, 1, 31, 13, tzinfo=UTC)
    assert next_time("15 6 * * 1-5", after) == datetime(2030, 2, 1, 6, 15, tzinfo=UTC)


async def test_one_of_many_enqueues_it_once_however_much_was_missed(database: Database) -> None:
    clocks = [await hourly() for _ in range(5)]
    assert await clocks[0].tick(database) == 0
    assert await due_at(database) > now()

    await make_due(database, now() - timedelta(days=3))
    others = [Clock(clock.crons) for clock in clocks]
    assert sum(await asyncio.gather(*(clock.tick(database) for clock in others))) == 1

    assert await open_jobs(database) == 1
    assert now() < await due_at(database) <= now() + timedelta(hours=1)


async def test_it_is_not_enqueued_again_while_it_waits(database: Database) -> None:
    for _ in range(2):
        clock = await hourly()
        await clock.tick(database)
        await make_due(database, now())
        clock.next_look = now()
        await clock.tick(database)

    assert await open_jobs(database) == 1


async def test_a_clock_that_has_nothing_to_do_asks_nobody(database: Database) -> None:
    clock = await hourly()
    await clock.tick(database)
    await make_due(database, now())

    assert await clock.tick(database) == 0
    assert clock.next_look
    assert clock.next_look <= now() + timedelta(minutes=1)


async def test_another_time_takes_effect_with_the_new_version(database: Database) -> None:
    await (await hourly()).tick(database)
    await make_due(database, now() + timedelta(days=9))

    await Clock({"hourly": "30 * * * *"}).tick(database)

    assert (await due_at(database)).minute == 30
    assert await open_jobs(database) == 0


async def test_a_machines_clock_that_is_put_back_does_not_stop_it(database: Database) -> None:
    await (await hourly()).tick(database)
    await make_due(database, now() + timedelta(days=9))
    clock = await hourly()
    clock.next_look = now() + timedelta(days=9)

    assert await clock.tick(database) == 1
    assert await due_at(database) <= now() + timedelta(hours=1)


async def test_what_is_due_waits_for_no_clock_that_is_put_back(database: Database) -> None:
    clock = await hourly()
    await clock.tick(database)
    at_once, again, later = [await add(database, "hourly") for _ in range(3)]
    future = now() + timedelta(hours=1)
    await change(database, at_once, created_at=future, due_at=future)
    await change(database, again, attempts=1, due_at=future + timedelta(seconds=30))
    await change(database, later, due_at=future)

    await clock.tick(database)
    assert (await get(database, at_once)).due_at == future

    clock.ahead += timedelta(hours=1)
    await clock.tick(database)

    assert (await get(database, at_once)).due_at <= now()
    assert (await get(database, again)).due_at <= now()
    assert (await get(database, later)).due_at == future


async def test_what_is_committed_a_moment_after_the_clock_was_put_back_does_not_wait_either(
    database: Database,
) -> None:
    clock = await hourly()
    clock.ahead += timedelta(hours=1)
    await clock.tick(database)
    job_id = await add(database, "hourly")
    future = now() + timedelta(hours=1)
    await change(database, job_id, created_at=future, due_at=future)

    await clock.tick(database)

    assert (await get(database, job_id)).due_at <= now()


async def test_workers_run_what_recurs(database: Database, works: Works) -> None:
    await (await hourly()).tick(database)
    await make_due(database, now())
    async with works(), works():

        async def ran() -> bool:
            return await effects(database) == 1

        await until(ran)
    assert "hourly" in CRONS


async def test_old_jobs_are_purged_by_a_job_a_few_at_a_time(
    database: Database, works: Works, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge = "jobs.purge"
    monkeypatch.setattr(queue, "PURGE_AT_ONCE", 2)
    long_ago = now() - timedelta(days=bell.settings.job_retention_days, seconds=1)
    async with works():
        old = [await add(database, purge) for _ in range(3)]
        await finished(database, *old)
        async with database.transactions.begin() as session:
            await session.execute(update(Job).values(finished_at=long_ago))
        await add(database, purge)

        async def gone() -> bool:
            async with database.readers() as session:
                return not (await session.scalars(select(Job.id).where(Job.id.in_(old)))).all()

        await until(gone)
