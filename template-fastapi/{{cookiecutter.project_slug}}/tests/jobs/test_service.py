import asyncio
from datetime import timedelta
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, now
from app.errors import NotFoundError
from app.jobs import queue, registry, service
from app.jobs.models import Job, State
from app.jobs.registry import RegistrationError, every, job, load_handlers
from app.jobs.service import enqueue
from app.jobs.waking import Bell
from tests.jobs.working import add, get


@pytest.fixture
def send() -> registry.Function:
    @job(name="mails.send", max_attempts=7)
    async def send(session: AsyncSession, to: str, subject: str = "") -> None: ...

    return send


async def test_a_job_is_enqueued_by_its_function_or_its_name(
    database: Database, send: registry.Function
) -> None:
    arguments = {"to": "ann@example.com"}
    first = await get(database, await add(database, send, arguments=arguments))
    second = await get(database, await add(database, "mails.send", arguments=arguments))

    assert first.name == second.name == "mails.send"
    assert first.arguments == arguments
    assert (first.state, first.attempts, first.max_attempts) == (State.WAITING, 0, 7)


async def test_a_job_can_wait_for_its_time(database: Database, send: registry.Function) -> None:
    tomorrow = now() + timedelta(days=1)
    arguments = {"to": "ann@example.com"}
    at = await add(database, send, arguments=arguments, due_at=tomorrow)
    after = await add(database, send, arguments=arguments, delay=timedelta(hours=1))

    assert (await get(database, at)).due_at == tomorrow
    assert timedelta(minutes=59) < (await get(database, after)).due_at - now()
    async with database.readers() as session:
        assert not await queue.is_due(session, Job)


async def test_with_a_unique_key_there_is_one_until_it_is_finished(
    database: Database, send: registry.Function
) -> None:
    options = {"arguments": {"to": "ann@example.com"}, "unique_key": "ann"}
    ids = await asyncio.gather(*(add(database, send, **options) for _ in range(4)))
    assert len(set(ids)) == 1
    async with database.transactions.begin() as session:
        [row] = await queue.claim(session, Job, limit=1, lease=timedelta(seconds=60))
    assert await add(database, send, **options) == ids[0]
    async with database.transactions.begin() as session:
        await queue.finish(session, Job, row)

    following = await add(database, send, **options)
    assert following != ids[0]
    async with database.transactions.begin() as session:
        # There would be two with the key.
        assert await service.retry(session, ids=[ids[0], following]) == []
        assert await service.cancel(session, ids=[following]) == [following]
        assert await service.retry(session, ids=[ids[0], following]) == [ids[0]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, r"The job mails.send: missing a required argument: 'to'."),
        (
            {"to": "ann", "cc": "ben"},
            r"The job mails.send: got an unexpected keyword argument 'cc'.",
        ),
        ({"to": {1}}, r"The arguments of mails.send are no JSON: .*set"),
        ({"to": float("nan")}, r"The arguments of mails.send are no JSON: .*"),
    ],
)
async def test_arguments_that_cannot_work_are_refused_where_they_are_given(
    database: Database, send: registry.Function, arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        await add(database, send, arguments=arguments)


@pytest.mark.parametrize("name", ["unique_key", "order_key"])
@pytest.mark.parametrize("key", ["", "x" * 201, "a\x00b"])
async def test_a_key_that_some_databases_could_not_keep_is_refused(
    database: Database, send: registry.Function, name: str, key: str
) -> None:
    with pytest.raises(ValueError, match=f"{name} has 1 to 200 characters"):
        await add(database, send, arguments={"to": "ann"}, **{name: key})


async def test_a_savepoint_in_between_does_not_ring_for_what_is_not_committed(
    database: Database, send: registry.Function, bell: Bell
) -> None:
    rung: list[object] = []
    ring = rung.append
    bell.listeners.add(ring)
    async with database.transactions.begin() as session:
        await enqueue(session, send, {"to": "ann"})
        async with session.begin_nested():
            pass
        assert not rung
    bell.listeners.discard(ring)

    assert len(rung) == 1


async def test_a_job_that_nobody_knows_is_refused(database: Database) -> None:
    async def forgotten(session: AsyncSession) -> None: ...

    with pytest.raises(LookupError, match=r"There is no job mails.sned: put @job"):
        await add(database, "mails.sned")
    with pytest.raises(LookupError, match="forgotten: put @job"):
        await add(database, forgotten)


def test_what_cannot_be_a_job_is_refused_at_the_start(send: registry.Function) -> None:
    with pytest.raises(RegistrationError, match="is no async function"):
        job()(cast(registry.Function, print))
    with pytest.raises(RegistrationError, match="'daily' is no schedule"):
        every("daily")

    async def another(session: AsyncSession) -> None: ...

    with pytest.raises(RegistrationError, match=r"Two jobs have the name mails.send"):
        job(name="mails.send")(another)


def test_names_are_short_and_handlers_are_loaded() -> None:
    async def report() -> None: ...

    report.__module__, report.__qualname__ = "app.handlers.reports", "report"
    assert registry.name_of(report) == "reports.report"
    load_handlers()
    assert "jobs.purge" in registry.JOBS


async def test_jobs_are_listed_and_found(database: Database, send: registry.Function) -> None:
    arguments = {"to": "ann@example.com"}
    first, second = [await add(database, send, arguments=arguments) for _ in range(2)]
    async with database.transactions.begin() as session:
        await service.cancel(session, ids=[first])

    async def listed(
        state: State | None = None, name: str | None = None, limit: int = 50
    ) -> list[int]:
        async with database.readers() as session:
            jobs = await service.list_jobs(session, state=state, name=name, limit=limit)
            return [one.id for one in jobs]

    assert await listed() == [second, first]
    assert await listed(limit=1) == [second]
    assert await listed(state=State.CANCELLED, name="mails.send") == [first]
    assert await listed(name="mails") == []
    with pytest.raises(NotFoundError, match=r"There is no job 0."):
        await get(database, 0)
