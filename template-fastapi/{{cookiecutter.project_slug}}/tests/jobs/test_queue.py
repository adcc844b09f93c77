import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import {% if cookiecutter.database == "postgresql" %}text, {% endif %}update

from app.db import Database, now
from app.jobs import queue
from app.jobs.models import Job, State
from app.jobs.queue import Claimed
from tests.jobs.working import get

LEASE = timedelta(seconds=60)
GONE = timedelta(seconds=-1)


async def fill(database: Database, number: int = 1, **values: object) -> list[int]:
    async with database.transactions.begin() as session:
        jobs = [Job(name="any", arguments={}, **values) for _ in range(number)]
        session.add_all(jobs)
    return [job.id for job in jobs]


async def claim(database: Database, limit: int = 10, lease: timedelta = LEASE) -> list[Claimed]:
    async with database.readers() as session:
        return list(await queue.claim(session, Job, limit=limit, lease=lease))


async def recover(database: Database) -> list[tuple[int, State]]:
    async with database.readers() as session:
        return [(row.id, row.state) for row in await queue.recover(session, Job)]


async def finish(
    database: Database, row: Claimed, state: State = State.DONE
) -> queue.Finished | None:
    async with database.transactions.begin() as session:
        return await queue.finish(session, Job, row, state)


async def test_workers_that_claim_at_once_get_each_row_once(database: Database) -> None:
    ids = await fill(database, 60)

    async def take_all() -> list[int]:
        took = []
        while rows := await claim(database, limit=7):
            took += [row.id for row in rows]
        return took

    taken = await asyncio.gather(take_all(), take_all(), take_all())

    assert sorted(one for ids_of_one in taken for one in ids_of_one) == ids


async def test_the_longest_waiting_is_first_and_what_is_not_due_is_left(database: Database) -> None:
    [later] = await fill(database, due_at=now() - timedelta(seconds=1))
    [first] = await fill(database, due_at=now() - timedelta(seconds=9))
    await fill(database, due_at=now() + timedelta(hours=1))

    assert [row.id for row in await claim(database)] == [first, later]


async def test_a_dead_workers_row_comes_back_after_its_lease(database: Database) -> None:
    [lost] = await fill(database)
    [alive] = await fill(database)
    await claim(database, limit=1, lease=GONE)
    await claim(database)

    assert await recover(database) == [(lost, State.WAITING)]
    assert (await get(database, alive)).state is State.RUNNING
    [again] = await claim(database)
    assert (again.id, again.attempts, again.last_error) == (lost, 2, queue.LOST)


{% if cookiecutter.database == "postgresql" %}
async def test_what_two_workers_cannot_see_of_each_other_keeps_its_order(
    database: Database,
) -> None:
    """A row with a lower id may be committed later, when the next one is being taken already."""
    async with database.transactions() as first, database.transactions() as one:
        first.add(Job(name="any", arguments={}, order_key="ann"))
        await first.flush()
        [second] = await fill(database, order_key="ann")
        [taken] = await queue.claim(one, Job, limit=10, lease=LEASE)
        assert taken.id == second
        await first.commit()
        other = asyncio.create_task(claim(database))
        await asyncio.sleep(0.1)
        await one.commit()

    assert await other == []


{% endif %}
async def test_a_lease_that_ends_too_late_is_of_a_clock_that_was_put_back(
    database: Database,
) -> None:
    await fill(database)
    [row] = await claim(database, lease=timedelta(hours=1))

    async with database.transactions.begin() as session:
        assert await queue.recover(session, Job) == []
        [recovered] = await queue.recover(session, Job, lease=LEASE)
    assert recovered.id == row.id


async def test_what_ends_its_worker_each_time_is_dead_in_the_end(database: Database) -> None:
    [poison] = await fill(database, max_attempts=2)
    for state in (State.WAITING, State.DEAD):
        await claim(database, lease=GONE)
        assert await recover(database) == [(poison, state)]

    job = await get(database, poison)
    assert job.finished_at
    assert job.last_error == queue.LOST


async def test_who_lost_a_row_can_neither_finish_nor_fail_nor_release_it(
    database: Database,
) -> None:
    await fill(database)
    [stalled] = await claim(database, lease=GONE)
    await recover(database)
    [mine] = await claim(database)

    assert not await finish(database, stalled)
    async with database.transactions.begin() as session:
        assert await queue.fail(session, Job, stalled, ValueError()) is None
        assert not await queue.release(session, Job, stalled)
        assert await queue.renew(session, Job, [stalled.lease], lease=LEASE) == set()
        assert await queue.renew(session, Job, [mine.lease], lease=LEASE) == {mine.id}
    assert await finish(database, mine)


async def test_rows_with_a_key_run_one_at_a_time_and_in_order(database: Database) -> None:
    first, second = await fill(database, 2, order_key="ann")
    [other] = await fill(database, order_key="ben")
    [free] = await fill(database)

    rows = {row.id: row for row in await claim(database)}
    assert set(rows) == {first, other, free}
    assert await claim(database) == []

    # One that has to be tried again keeps its place.
    async with database.transactions.begin() as session:
        await queue.fail(session, Job, rows[first], ValueError(), after=timedelta(hours=1))
    assert await claim(database) == []

    async with database.transactions.begin() as session:
        await queue.cancel(session, Job, [first])
    assert [row.id for row in await claim(database)] == [second]


async def test_one_row_is_claimed_by_its_id_when_it_is_its_turn(database: Database) -> None:
    first, second = await fill(database, 2, order_key="ann")

    async with database.readers() as session:
        assert await queue.claim_one(session, Job, second, lease=LEASE) is None
        row = await queue.claim_one(session, Job, first, lease=LEASE)
        assert row is not None
        assert (row.id, row.attempts) == (first, 1)
        assert await queue.claim_one(session, Job, first, lease=LEASE) is None


async def test_of_a_key_the_first_is_claimed_when_none_runs(database: Database) -> None:
    first, second = await fill(database, 2, order_key="ann")
    await fill(database, order_key="bob")

    async def claim_next() -> Claimed | None:
        async with database.statements() as session:
            return await queue.claim_next(session, Job, "ann", lease=LEASE)

    row = await claim_next()
    assert row is not None
    assert row.id == first
    assert await claim_next() is None
    await finish(database, row)
    row = await claim_next()
    assert row is not None
    assert row.id == second


async def test_who_finishes_hears_whether_others_wait_for_their_turn(database: Database) -> None:
    for key in ("ann", "ann", "bob", None, None):
        await fill(database, order_key=key)

    followed = []
    for row in await claim(database, limit=3):
        finished = await finish(database, row)
        followed.append((row.order_key, finished and finished.followed))
    assert followed == [("ann", True), ("bob", False), (None, False)]


{% if cookiecutter.database == "postgresql" %}
async def test_who_claims_goes_along_the_index_and_nobody_else_has_to(database: Database) -> None:
    asked = text("SHOW enable_bitmapscan")
    async with queue.claiming(database) as session:
        assert await session.scalar(asked) == "off"
    async with database.transactions() as session:
        assert await session.scalar(asked) == "on"


{% endif %}
async def test_failing_takes_longer_pauses_and_ends_after_the_last_attempt(
    database: Database,
) -> None:
    [job_id] = await fill(database, max_attempts=2)
    secret = ValueError("no such customer\nDETAIL: the password is 12345")
    states = []
    for _ in range(2):
        [row] = await claim(database)
        async with database.transactions.begin() as session:
            states.append(await queue.fail(session, Job, row, secret))
            await session.execute(update(Job).values(due_at=now()))

    assert states == [State.WAITING, State.DEAD]
    job = await get(database, job_id)
    assert (job.last_error, job.lease) == ("ValueError: no such customer", None)
    longest = [max(queue.pause(attempts) for _ in range(200)) for attempts in (1, 2, 3)]
    assert [round(pause.total_seconds()) for pause in longest] == [1, 2, 4]
    assert queue.pause(1000) <= queue.LONGEST_PAUSE


async def test_released_is_as_if_it_had_not_been_taken(database: Database) -> None:
    [job_id] = await fill(database)
    [row] = await claim(database)
    async with database.transactions.begin() as session:
        assert await queue.release(session, Job, row)

    job = await get(database, job_id)
    assert (job.state, job.attempts, job.lease_until) == (State.WAITING, 0, None)


async def test_what_is_finished_can_be_replayed_and_what_is_not_can_be_cancelled(
    database: Database,
) -> None:
    done, running, waiting = await fill(database, 3)
    rows = await claim(database, limit=2)
    await finish(database, rows[0])

    async with database.transactions.begin() as session:
        assert await queue.cancel(session, Job, [done, running, waiting]) == [running, waiting]
    # What ran cannot commit any more.
    assert not await finish(database, rows[1])
    async with database.transactions.begin() as session:
        assert await queue.replay(session, Job, [done, running]) == [done, running]
        assert await queue.replay(session, Job, [done, running]) == []

    job = await get(database, done)
    assert (job.state, job.attempts, job.finished_at) == (State.WAITING, 0, None)


@pytest.mark.parametrize("dead", [False, True])
async def test_old_rows_are_purged_and_dead_ones_only_when_asked(
    database: Database, dead: bool
) -> None:
    ids = await fill(database, 4)
    rows = await claim(database, limit=3)
    await finish(database, rows[0])
    await finish(database, rows[1], State.IGNORED)
    async with database.transactions.begin() as session:
        await queue.fail(session, Job, rows[2], ValueError(), final=True)

    async with database.transactions.begin() as session:
        assert await queue.purge(session, Job, before=now() - timedelta(hours=1), dead=dead) == 0
        assert await queue.purge(session, Job, before=now(), dead=dead, limit=1) == 1
        assert await queue.purge(session, Job, before=now(), dead=dead) == 1 + dead
        assert (await queue.counts(session, Job)).dead == (not dead)
    assert (await get(database, ids[3])).state is State.WAITING


async def test_counts_and_the_oldest_that_is_due(database: Database) -> None:
    async with database.readers() as session:
        assert await queue.counts(session, Job) == queue.Counts(0, 0, 0, 0.0)
        assert not await queue.is_due(session, Job)
    await fill(database, 2, due_at=now() - timedelta(seconds=90))
    await claim(database, limit=1)
    await fill(database, due_at=now() + timedelta(days=1))

    async with database.readers() as session:
        counts = await queue.counts(session, Job)
        assert await queue.is_due(session, Job)
    assert (counts.waiting, counts.running, counts.dead) == (2, 1, 0)
    assert 90 <= counts.oldest < 100
