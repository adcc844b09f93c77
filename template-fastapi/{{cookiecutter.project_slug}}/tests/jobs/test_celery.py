import asyncio
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
from app.db import Database, now
from app.jobs import celery, celery_worker, queue, registry
from app.jobs.celery import Sender, Workforce, check_broker
from app.jobs.celery_worker import Sweeper, do_one
from app.jobs.models import Job, State
from app.jobs.registry import job
from app.jobs.waking import Bell, Work
from app.jobs.worker import Worker
from app.main import create_app
from app.settings import Settings
from tests.jobs.conftest import Start
from tests.jobs.handlers import enqueue_waiting
from tests.jobs.working import (
    PATIENCE,
    add,
    effects,
    finished,
    get,
    until,
    until_there,
    write_effect,
)

CLOSED = "{{ "redis" if cookiecutter.broker == "redis" else "amqp" }}://127.0.0.1:1"


class Kept(Sender):
    """A broker that takes messages, and loses them."""

    def __init__(self, settings: Settings, *, takes: bool = True) -> None:
        super().__init__(settings)
        self.takes = takes
        self.sent: list[Work] = []
        self.waiting = 0

    async def publish(self, work: Collection[Work]) -> bool:
        self.sent += work
        return self.takes

    async def count_waiting(self) -> int:
        return self.waiting


@pytest.fixture
def waiting() -> None:
    @job(name="waiting")
    async def wait(session: AsyncSession) -> None:
        await write_effect(session)


def with_broker(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"broker_url": SecretStr(url)})


@asynccontextmanager
async def workforce(settings: Settings, database: Database) -> AsyncIterator[Workforce]:
    workforce = Workforce(settings, database)
    yield workforce
    await workforce.stop()


@pytest.mark.skipif("TEST_BROKER_URL" not in os.environ, reason="TEST_BROKER_URL is not set")
async def test_jobs_are_done_once_by_way_of_a_real_broker_also_when_a_worker_is_killed(
    quick: Settings, database: Database, start: Start, tmp_path: Path
) -> None:
    url = os.environ["TEST_BROKER_URL"]
    broker = {"APP_BROKER_URL": url, "APP_ENVIRONMENT": "development"}
    worker, beat = start("worker", **broker), start("beat", **broker)
    quickly, killed = tmp_path / "quickly", tmp_path / "killed"

    async with workforce(with_broker(quick, url), database):
        first = await enqueue_waiting(database, quickly, seconds=0)
        [done] = await finished(database, first)
        assert (done.state, done.attempts) == (State.DONE, 1)

        second = await enqueue_waiting(database, killed, seconds=600)
        await until_there(killed)
        worker.kill()
        await asyncio.to_thread(worker.wait, PATIENCE)
        worker = start("worker", **broker)
        [done] = await finished(database, second)
        assert (done.state, done.attempts) == (State.DONE, 2)
    assert await effects(database) == 2

    for process in (worker, beat):
        process.terminate()
        said, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert process.returncode == 0
        assert "ETA tasks" not in said


@pytest.mark.skipif("TEST_BROKER_URL" not in os.environ, reason="TEST_BROKER_URL is not set")
async def test_messages_are_counted_that_no_worker_has_taken(quick: Settings) -> None:
    sender = Sender(with_broker(quick, os.environ["TEST_BROKER_URL"]))
    name = sender.celery.conf.task_default_queue = f"counted-{uuid4()}"

    async def are_there() -> bool:
        return await sender.count_waiting() == 2

    assert await sender.count_waiting() == 0
    try:
        assert await sender.publish([("jobs", 1), ("jobs", 2)])
        await until(are_there)
    finally:
        with sender.celery.connection_or_acquire() as connection, connection.channel() as channel:
            channel.queue_delete(name)
        await sender.close()


async def test_a_broker_that_is_down_keeps_nobody_waiting_and_nothing_is_lost(
    quick: Settings, database: Database, waiting: None
) -> None:
    async with workforce(with_broker(quick, CLOSED), database) as force:
        began = monotonic()
        job_id = await add(database, "waiting")
        assert monotonic() - began < 1

        assert force.worker is None
        assert force.sender is not None
        assert not await force.sender.publish([("jobs", job_id)])
        assert await force.sender.count_waiting() == 0
    assert (await get(database, job_id)).state is State.WAITING


async def test_without_a_broker_the_web_process_works_itself(
    quick: Settings, database: Database, waiting: None
) -> None:
    settings = quick.model_copy(update={"embedded_worker": True})
    async with workforce(settings, database) as force:
        assert force.sender is None
        await finished(database, await add(database, "waiting"))


async def test_a_commit_sends_what_it_enqueued(
    quick: Settings, database: Database, bell: Bell, waiting: None
) -> None:
    sender = Kept(quick)
    bell.listeners.add(sender.send)
    ids = [await add(database, "waiting") for _ in range(3)]
    async with database.transactions() as session:
        # Whoever does not say which rows, leaves them to the sweeper.
        session.info["enqueued"] = {("", 0)}
        await session.execute(update(Job).values(order_key=None))
        await session.commit()
    await sender.close()

    assert sender.sent == [("jobs", one) for one in ids]


@pytest.mark.parametrize(("patience", "batches"), [(0.05, 1), (30, 3)])
async def test_a_process_that_stops_leaves_to_the_sweeper_what_a_slow_broker_did_not_take(
    quick: Settings, monkeypatch: pytest.MonkeyPatch, patience: float, batches: int
) -> None:
    monkeypatch.setattr(celery, "LAST_MESSAGES", patience)
    work = [("jobs", number) for number in range(celery.AT_ONCE * 3)]

    class Slow(Kept):
        async def publish(self, work: Collection[Work]) -> bool:
            await asyncio.sleep(0.2)
            return await super().publish(work)

    sender = Slow(quick)
    sender.send(work)
    await sender.close()

    assert sender.sent == work[: celery.AT_ONCE * batches]


@pytest.mark.parametrize("takes", [True, False])
async def test_what_nobody_took_is_sent_again_but_not_all_the_time(
    quick: Settings, database: Database, waiting: None, takes: bool
) -> None:
    app = create_app(quick)
    async with app.router.lifespan_context(app):
        kept = Kept(quick, takes=takes)
        sweeper = Sweeper(app, kept)
        first = await add(database, "waiting", order_key="ann")
        await add(database, "waiting", order_key="ann")
        await add(database, "waiting", delay=timedelta(hours=1))
        assert await sweeper.sweep() == 0

        async with database.transactions.begin() as session:
            before = now() - timedelta(minutes=1)
            await session.execute(update(Job).where(Job.id == first).values(due_at=before))
        assert await sweeper.sweep() == int(takes)
        assert await sweeper.sweep() == 0
        assert kept.sent == [("jobs", first)] * (1 if takes else 2)


async def test_nothing_is_taken_for_lost_while_many_messages_wait(
    quick: Settings, database: Database, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_worker, "ON_ITS_WAY", 0)
    app = create_app(quick)
    async with app.router.lifespan_context(app):
        sender = Kept(quick)
        ids = [await add(database, "waiting") for _ in range(3)]
        sender.waiting = celery_worker.AT_ONCE + 1
        assert await Sweeper(app, sender).sweep() == 0
        sender.waiting = celery_worker.AT_ONCE - 2
        assert await Sweeper(app, sender).sweep() == 2
    assert sender.sent == [("jobs", one) for one in ids[:2]]


async def test_what_was_taken_and_has_to_be_tried_again_is_sent_when_it_is_due(
    quick: Settings, database: Database, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_worker, "ON_ITS_WAY", 0)
    app = create_app(quick)
    async with app.router.lifespan_context(app):
        sender = Kept(quick)
        sweeper = Sweeper(app, sender)
        job_id = await add(database, "waiting")
        for attempts in (1, 2):
            assert await sweeper.sweep() == 1
            async with database.readers() as session:
                lease = timedelta(minutes=1)
                [row] = await queue.claim(session, Job, limit=1, lease=lease)
                await queue.fail(session, Job, row, OSError("away"), after=timedelta())
            assert row.attempts == attempts
        assert sender.sent == [("jobs", job_id)] * 2


async def test_the_sweeper_goes_on_until_it_is_told_to_stop(
    quick: Settings, database: Database, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_worker, "ON_ITS_WAY", 0)
    told = asyncio.Event()
    app = create_app(quick)
    async with app.router.lifespan_context(app):
        sender = Kept(quick)
        sweeper = Sweeper(app, sender)
        broken = True

        async def tick(_: Database) -> int:
            nonlocal broken
            if broken:
                broken = False
                raise ConnectionResetError("The database is away.")
            return 0

        monkeypatch.setattr(sweeper.clock, "tick", tick)
        job_id = await add(database, "waiting")
        async with database.readers() as session:
            await queue.claim(session, Job, limit=1, lease=timedelta(seconds=-1))
        running = asyncio.create_task(sweeper.run(told))

        async def recovered() -> bool:
            return sender.sent == [("jobs", job_id)]

        await until(recovered)
        told.set()
        await running


async def test_a_message_is_worth_a_row_and_those_that_had_to_wait_for_it(
    quick: Settings, database: Database, bell: Bell, waiting: None
) -> None:
    first = await add(database, "waiting", order_key="ann")
    second = await add(database, "waiting", order_key="ann")
    third = await add(database, "waiting", delay=timedelta(hours=1))
    worker = Worker(quick, bell)
    async with worker.handlers():
        await do_one(worker, "letters", first)
        assert await effects(database) == 0
        # It is not its turn: it has to wait for the first one.
        await do_one(worker, "jobs", second)
        assert await effects(database) == 2
        await do_one(worker, "jobs", first)
        await do_one(worker, "jobs", third)
        assert await effects(database) == 2
        # Done already, so that another one is.
        await add(database, "waiting")
        await do_one(worker, "jobs", first)
        assert await effects(database) == 3


async def test_a_worker_that_stops_leaves_to_others_what_had_to_wait(
    quick: Settings, database: Database, bell: Bell, waiting: None
) -> None:
    first = await add(database, "waiting", order_key="ann")
    await add(database, "waiting", order_key="ann")
    worker = Worker(quick, bell)
    async with worker.handlers():
        worker.stop()
        await do_one(worker, "jobs", first)

    assert await effects(database) == 1


@pytest.mark.parametrize(("stopping", "done"), [(False, 5), (True, 2)])
async def test_a_kind_that_has_its_share_of_the_places_keeps_no_other_waiting(
    quick: Settings,
    database: Database,
    bell: Bell,
    waiting: None,
    monkeypatch: pytest.MonkeyPatch,
    stopping: bool,
    done: int,
) -> None:
    monkeypatch.setitem(registry.KINDS, "jobs", replace(registry.KINDS["jobs"], share=0.5))
    ids = [await add(database, "waiting", order_key=str(n) if n else None) for n in range(5)]
    worker = Worker(quick, bell)
    worker.stopping = stopping
    async with worker.handlers():
        two = [asyncio.create_task(do_one(worker, "jobs", one)) for one in ids[:2]]
        await asyncio.sleep(0)
        # Both places are taken: these do not wait for them.
        for one in ids[2:]:
            assert worker.free_for(registry.KINDS["jobs"]) == 0
            await do_one(worker, "jobs", one)
        await asyncio.gather(*two)

    assert await effects(database) == done


async def test_doctor_says_whether_the_broker_answers(quick: Settings) -> None:
    assert await check_broker(quick) == ("ok", "There is no broker: the web process runs jobs.")

    level, text = await check_broker(with_broker(quick, CLOSED))
    assert level == "warning"
    assert text.startswith("The broker does not answer, so jobs wait: ")
    if url := os.environ.get("TEST_BROKER_URL"):
        assert await check_broker(with_broker(quick, url)) == ("ok", "The broker answers.")


def test_beat_needs_a_broker(monkeypatch: pytest.MonkeyPatch, quick: Settings) -> None:
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_DATABASE_URL", quick.database_url.get_secret_value())

    with pytest.raises(SystemExit, match="APP_BROKER_URL is not set: workers keep the schedule"):
        main(["beat"])


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://", "nonsense", "amqp://"])
def test_a_url_of_no_broker_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_BROKER_URL", url)

    with pytest.raises(SystemExit, match=r"APP_BROKER_URL is not a URL of .*write it like"):
        main(["beat"])
