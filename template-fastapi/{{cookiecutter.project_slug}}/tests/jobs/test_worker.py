import asyncio
import traceback
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from app.db import Database, now
from app.jobs import queue, registry
from app.jobs.models import Job, State
from app.jobs.registry import GiveUpError, RetryError, job
from app.jobs.service import enqueue
from app.jobs.waking import Bell
from app.jobs.worker import recover, without_values
from app.main import create_app
from app.settings import Settings
from tests.jobs.conftest import Works
from tests.jobs.working import add, effects, finished, get, running, until, write_effect


async def test_a_job_runs_with_its_arguments_and_what_it_wrote_is_kept(
    database: Database, works: Works
) -> None:
    @job()
    async def greet(session: AsyncSession, name: str) -> None:
        await write_effect(session, of=f"Hello {name}")

    job_id = await add(database, greet, arguments={"name": "Ann"})
    async with works():
        [done] = await finished(database, job_id)

    assert (done.state, done.attempts, done.lease) == (State.DONE, 1, None)
    assert await effects(database) == 1


async def test_a_job_that_fails_leaves_nothing_and_is_dead_after_its_last_attempt(
    database: Database, works: Works
) -> None:
    @job(max_attempts=3)
    async def fail(session: AsyncSession) -> None:
        await write_effect(session)
        raise RetryError("The other side is away.", after=timedelta())

    job_id = await add(database, fail)
    async with works():
        [dead] = await finished(database, job_id)

    assert (dead.state, dead.attempts) == (State.DEAD, 3)
    assert dead.last_error == "RetryError: The other side is away."
    assert await effects(database) == 0


async def test_a_failure_waits_before_the_next_attempt(database: Database, works: Works) -> None:
    @job()
    async def fail(session: AsyncSession) -> None:
        raise RetryError("Not now.", after=timedelta(hours=1))

    job_id = await add(database, fail)
    async with works():

        async def failed() -> bool:
            return (await get(database, job_id)).last_error is not None

        await until(failed)
    waiting = await get(database, job_id)

    assert waiting.state is State.WAITING
    assert waiting.due_at > now() + timedelta(minutes=50)


async def test_who_gives_up_and_who_is_unknown(database: Database, works: Works) -> None:
    @job()
    async def give_up(session: AsyncSession) -> None:
        raise GiveUpError("There is no such customer.")

    @job(max_attempts=1)
    async def of_another_version(session: AsyncSession) -> None: ...

    given_up, unknown = await add(database, give_up), await add(database, of_another_version)
    name = registry.name_of(of_another_version)
    del registry.JOBS[name]
    async with works():
        jobs = await finished(database, given_up, unknown)

    assert [one.state for one in jobs] == [State.DEAD, State.DEAD]
    assert jobs[0].attempts == 1
    assert jobs[1].last_error == f"LookupError: There is no job {name} in this version."


async def test_a_failed_statement_that_a_job_swallows_does_not_count_as_done(
    database: Database, works: Works
) -> None:
    @job(max_attempts=1)
    async def careless(session: AsyncSession) -> None:
        await write_effect(session)
        await asyncio.gather(session.execute(text("SELECT nonsense")), return_exceptions=True)
        await session.rollback()
        raise ValueError("After all.")

    job_id = await add(database, careless)
    async with works():
        [dead] = await finished(database, job_id)

    assert dead.state is State.DEAD
    assert await effects(database) == 0


async def test_a_stalled_worker_cannot_commit_after_its_lease_was_taken(
    database: Database, works: Works
) -> None:
    stalled, go_on = asyncio.Event(), asyncio.Event()

    @job()
    async def stall(session: AsyncSession) -> None:
        stalled.set()
        await go_on.wait()
        await write_effect(session)

    job_id = await add(database, stall)
    async with works(job_lease=600, worker_poll=600):
        await stalled.wait()
        async with database.transactions.begin() as session:
            await session.execute(update(Job).values(lease_until=now() - timedelta(seconds=1)))
            await queue.recover(session, Job)
            lease = timedelta(seconds=600)
            [taken] = await queue.claim(session, Job, limit=1, lease=lease)
        go_on.set()
    assert await effects(database) == 0

    async with database.transactions.begin() as session:
        assert await queue.finish(session, Job, taken)
    assert (await get(database, job_id)).attempts == 2


async def test_a_lease_is_renewed_for_as_long_as_a_handler_runs(
    database: Database, works: Works
) -> None:
    renewed: list[datetime] = []

    @job()
    async def work_long(session: AsyncSession) -> None:
        async def is_renewed() -> bool:
            lease = (await get(database, job_id)).lease_until
            if lease and lease not in renewed:
                renewed.append(lease)
            return len(renewed) == 3

        await until(is_renewed)
        await write_effect(session)

    job_id = await add(database, work_long)
    async with works(job_lease=2), works(job_lease=2):
        [done] = await finished(database, job_id)

    assert done.attempts == 1
    assert await effects(database) == 1


async def test_what_a_worker_runs_is_not_lost_when_its_lease_was_renewed_too_late(
    database: Database, works: Works
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @job()
    async def work(session: AsyncSession) -> None:
        started.set()
        await go_on.wait()
        await write_effect(session)

    async def is_renewed() -> bool:
        lease = (await get(database, job_id)).lease_until
        return lease is not None and lease > now()

    job_id = await add(database, work)
    async with works(job_lease=600):
        await started.wait()
        async with database.transactions.begin() as session:
            await session.execute(update(Job).values(lease_until=now() - timedelta(seconds=1)))
        await until(is_renewed)
        go_on.set()
        [done] = await finished(database, job_id)

    assert (done.attempts, await effects(database)) == (1, 1)


async def test_what_a_job_waited_for_was_cancelled_and_that_is_a_failure(
    database: Database, works: Works
) -> None:
    @job(max_attempts=1)
    async def work(session: AsyncSession) -> None:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async with works():
        [ended] = await finished(database, await add(database, work))

    assert ended.state is State.DEAD
    assert ended.last_error == "CancelledError"


def refuse(told: str) -> None:
    try:
        int(told)
    except ValueError as cause:
        raise LookupError(f"No invoice.\nDETAIL: {told}") from cause


def test_a_dead_job_is_logged_without_what_its_error_quotes() -> None:
    quoted = "@".join(("ann", "example.com"))
    with pytest.raises(LookupError) as refused:
        refuse(quoted)

    said = "".join(traceback.format_exception(without_values(refused.value)))

    assert "LookupError: No invoice." in said
    assert "in refuse" in said
    assert quoted not in said


async def test_what_ends_its_worker_is_dead_in_the_end_and_an_error(database: Database) -> None:
    @job(max_attempts=1)
    async def work(session: AsyncSession) -> None: ...

    await add(database, work)
    kind = registry.KINDS["jobs"]
    async with database.readers() as session:
        await queue.claim(session, Job, limit=1, lease=timedelta(seconds=-1))
        with capture_logs() as logged:
            await recover(session, kind, lease=timedelta(seconds=1))

    [line] = logged
    assert (line["event"], line["log_level"]) == ("work_dead", "error")
    assert str(line["exc_info"]) == queue.LOST


async def test_a_job_that_is_cancelled_while_it_runs_is_stopped(
    database: Database, works: Works
) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    @job()
    async def wait_for_ever(session: AsyncSession) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    job_id = await add(database, wait_for_ever)
    async with works(job_lease=0.2):
        await started.wait()
        async with database.transactions.begin() as session:
            assert await queue.cancel(session, Job, [job_id]) == [job_id]
        await asyncio.wait_for(stopped.wait(), 10)
    assert (await get(database, job_id)).state is State.CANCELLED


@pytest.mark.parametrize(("patience", "state"), [(20, State.DONE), (0, State.WAITING)])
async def test_a_worker_that_stops_lets_handlers_finish_or_gives_back_what_they_had(
    quick: Settings, database: Database, bell: Bell, patience: int, state: State
) -> None:
    started = asyncio.Event()

    @job()
    async def work(session: AsyncSession) -> None:
        await write_effect(session)
        started.set()
        # A worker without patience must not be late by accident.
        await asyncio.sleep(0.1 if patience else 600)

    production = {"environment": "production", "shutdown_timeout": patience}
    job_id = await add(database, work)
    async with running(quick.model_copy(update=production), bell):
        await started.wait()

    stopped = await get(database, job_id)
    assert (stopped.state, stopped.attempts) == (state, int(state is State.DONE))
    assert await effects(database) == stopped.attempts


async def test_jobs_with_a_key_run_in_order_whoever_runs_them(
    database: Database, works: Works
) -> None:
    ran: list[int] = []

    @job()
    async def step(session: AsyncSession, number: int) -> None:
        ran.append(number)
        await asyncio.sleep(0.005)
        ran.append(number)

    ids = [await add(database, step, arguments={"number": n}, order_key="ann") for n in range(8)]
    # A busy machine may keep them from renewing short leases.
    async with works(job_lease=60), works(job_lease=60):
        await finished(database, *ids)

    assert ran == [number for number in range(8) for _ in range(2)]


async def test_what_waited_for_its_turn_begins_without_being_looked_for(
    database: Database, works: Works
) -> None:
    @job()
    async def step(session: AsyncSession) -> None:
        await asyncio.sleep(0.001)

    keys = ["ann", "ann", "bob", None, "ann", None, "bob", "ann", None, None]
    ids = [await add(database, step, order_key=key) for key in keys]
    for places in (1, 3, 20):
        async with database.transactions.begin() as session:
            await queue.replay(session, Job, ids)
        async with works(worker_poll=600, worker_concurrency=places):
            await finished(database, *ids)


@pytest.mark.parametrize(("share", "places"), [(1, 4), (0.5, 2), (0.1, 1)])
async def test_more_jobs_than_places_are_all_done_and_never_more_at_once(
    database: Database,
    works: Works,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    places: int,
) -> None:
    monkeypatch.setitem(registry.KINDS, "jobs", replace(registry.KINDS["jobs"], share=share))
    at_once = most = 0

    @job()
    async def work(session: AsyncSession) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1

    ids = [await add(database, work) for _ in range(12)]
    # It does not need to look by itself for those that did not fit.
    async with works(worker_poll=600, worker_concurrency=4):
        await finished(database, *ids)

    assert most == places


async def test_what_was_enqueued_by_a_transaction_that_rolled_back_never_was(
    database: Database, works: Works
) -> None:
    @job()
    async def work(session: AsyncSession) -> None: ...

    async with works(worker_poll=600):
        async with database.transactions() as session:
            await enqueue(session, work)
            await session.rollback()
            await session.commit()
        # A commit wakes the worker at once, which does not look by itself that soon.
        job_id = await add(database, work)
        await finished(database, job_id)

    async with database.readers() as session:
        assert (await session.scalars(select(Job.id))).all() == [job_id]


async def test_a_worker_of_another_process_hears_of_new_work(
    quick: Settings, database: Database
) -> None:
    @job()
    async def work(session: AsyncSession) -> None: ...

    notified = quick.database.get_backend_name() == "postgresql"
    elsewhere = Database(quick)
    bell = Bell(quick, elsewhere)
    mine = Bell(quick, database)
    async with running(quick.model_copy(update={"worker_poll": 600 if notified else 0.05}), bell):
        # Its first look is over, and it listens.
        await finished(database, await add(elsewhere, work))
        await asyncio.sleep(0.3 if notified else 0)
        # Several within a moment are one notification.
        ids = [await add(database, work) for _ in range(3)]
        await finished(database, *ids)
    await mine.close()
    await bell.close()
    await elsewhere.close()


async def test_a_worker_outlives_a_database_that_is_away_for_a_while(
    database: Database, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    @job()
    async def work(session: AsyncSession) -> None: ...

    asked = 0
    is_due = queue.is_due

    async def away(*arguments: Any, **options: Any) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ConnectionResetError("The database is away.")
        return await is_due(*arguments, **options)

    monkeypatch.setattr(queue, "is_due", away)
    async with works():

        async def came_back() -> bool:
            return asked > 2

        await until(came_back)
        await finished(database, await add(database, work))


@pytest.mark.parametrize("bookkeeping", ["fail", "release"])
async def test_a_row_comes_back_although_its_end_could_not_be_written_down(
    quick: Settings,
    database: Database,
    bell: Bell,
    works: Works,
    monkeypatch: pytest.MonkeyPatch,
    bookkeeping: str,
) -> None:
    tries = 0
    started = asyncio.Event()

    @job()
    async def work(session: AsyncSession) -> None:
        nonlocal tries
        tries += 1
        started.set()
        if tries > 1:
            return
        if bookkeeping == "fail":
            raise ValueError("Once.")
        await asyncio.Event().wait()

    async def away(*_: Any, **__: Any) -> bool:
        raise ConnectionResetError("The database is away.")

    job_id = await add(database, work)
    with monkeypatch.context() as patch:
        patch.setattr(queue, bookkeeping, away)
        impatient = {"environment": "production", "shutdown_timeout": 0}
        async with running(quick.model_copy(update=impatient), bell):
            await started.wait()
    assert (await get(database, job_id)).state is State.RUNNING

    async with works():
        [done] = await finished(database, job_id)
    assert (done.state, done.attempts) == (State.DONE, 2)


async def test_the_web_process_runs_jobs_itself(quick: Settings, database: Database) -> None:
    @job()
    async def work(session: AsyncSession) -> None:
        await write_effect(session)

    app = create_app(quick.model_copy(update={"embedded_worker": True}))
    async with app.router.lifespan_context(app):
        await finished(database, await add(app.state.database, work))
    assert await effects(database) == 1
