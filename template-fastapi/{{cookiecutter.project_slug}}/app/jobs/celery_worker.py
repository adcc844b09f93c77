"""The two processes that a broker asks for: `just worker`, many of them, and `just beat`."""

import asyncio
{% if cookiecutter.broker == "rabbitmq" %}
import logging
{% endif %}
import threading
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog
from celery.signals import worker_shutting_down
from fastapi import FastAPI
from uvicorn.loops.auto import auto_loop_factory

from app.db import now
from app.jobs import queue
from app.jobs.celery import TASK, Sender, celery_of
from app.jobs.queue import Claimed
from app.jobs.recurring import Clock
from app.jobs.registry import KINDS, Kind
from app.jobs.signals import told_to_stop
from app.jobs.waking import Work
from app.jobs.worker import Worker, recover
from app.main import create_app
from app.settings import Settings

logger = structlog.get_logger()

# Seconds that a row may wait for the message that was sent when it was committed.
ON_ITS_WAY = 1
# Seconds after which it is taken for lost; it may as well be in a long queue.
SEND_AGAIN = 30
AT_ONCE = 1000


class Hands:
    """The loop in which the handlers of a Celery worker run. Celery itself has none: each of its
    threads hands over a row and waits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = auto_loop_factory()()
        self._ready = threading.Event()
        self._told = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="handlers")

    def __enter__(self) -> "Hands":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._told.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self._ready.set()
            self.loop.close()

    async def _serve(self) -> None:
        app = create_app(self.settings)
        async with app.router.lifespan_context(app):
            self.worker = Worker(self.settings, app.state.workforce.bell)
            async with self.worker.handlers():
                self._ready.set()
                await self._told.wait()

    def do(self, table: str, row_id: int) -> None:
        asyncio.run_coroutine_threadsafe(do_one(self.worker, table, row_id), self.loop).result()

    def hurry(self, **_: Any) -> None:
        """Celery waits for what runs, for ever; we do not."""
        self.loop.call_soon_threadsafe(self.worker.stop)
        asyncio.run_coroutine_threadsafe(self.worker.end_handlers(), self.loop)


async def do_one(worker: Worker, table: str, row_id: int) -> None:
    """Do this row or, when it is done or not its turn, another one that is due: each message is worth
    one, so that none is of no use while work waits. Then do those that had to wait for it."""
    if table not in KINDS:
        logger.warning("work_unknown", table=table)
        return
    kind = KINDS[table]
    if worker.free_for(kind) <= 0:
        # Those of its kind that run go on with it: no other kind has to wait.
        return
    row = await claim_any(worker, kind, row_id)
    # For as long as a lease: a broker gives a message to others that is not acknowledged.
    end = monotonic() + worker.settings.job_lease
    while row is not None:
        await asyncio.wait([worker.start(kind, row).task])
        if worker.stopping or monotonic() > end:
            return
        row = await claim_following(worker, kind, row)


async def claim_any(worker: Worker, kind: Kind, row_id: int) -> Claimed | None:
    with worker.claiming(kind):
        async with worker.database.statements() as session:
            row = await queue.claim_one(session, kind.model, row_id, lease=worker.lease)
        return row or await claim_first(worker, kind)


async def claim_following(worker: Worker, kind: Kind, row: Claimed) -> Claimed | None:
    """What had to wait for this row: for its turn, or for its place."""
    following = None
    with worker.claiming(kind):
        if row.order_key is not None:
            model, key = kind.model, row.order_key
            async with worker.database.statements() as session:
                following = await queue.claim_next(session, model, key, lease=worker.lease)
        if following is None and kind.share < 1:
            following = await claim_first(worker, kind)
    return following


async def claim_first(worker: Worker, kind: Kind) -> Claimed | None:
    async with queue.claiming(worker.database) as session:
        rows = await queue.claim(session, kind.model, limit=1, lease=worker.lease)
    return next(iter(rows), None)


def work(settings: Settings) -> None:
{% if cookiecutter.broker == "rabbitmq" %}
    # At each start, and nobody can act on it: jobs wait for their time in the database.
    delays = logging.getLogger("kombu.transport.native_delayed_delivery")
    delays.addFilter(lambda record: "ETA tasks" not in record.getMessage())
{% endif %}
    celery = celery_of(settings)
    with Hands(settings) as hands:

        @celery.task(name=TASK)
        def do(table: str, row_id: int) -> None:
            hands.do(table, row_id)

        worker_shutting_down.connect(hands.hurry)
        print(f"Running jobs, {settings.worker_concurrency} at once.", flush=True)
        worker: Any = celery.Worker(
            pool="threads",
            concurrency=settings.worker_concurrency,
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
    if worker.exitcode:
        raise SystemExit(worker.exitcode)


class Sweeper:
    """Sends what is due and was not taken: retries, what has waited for its time, and whatever the
    broker lost."""

    def __init__(self, app: FastAPI, sender: Sender) -> None:
        self.settings: Settings = app.state.settings
        self.database = app.state.database
        self.sender = sender
        self.clock = Clock()
        # With its attempts so far: what was taken since, and has to be tried again, is not on its way.
        self._sent: dict[tuple[Work, int], float] = {}

    async def run(self, told: asyncio.Event) -> None:
        while not told.is_set():
            try:
                await self.clock.tick(self.database)
                await self.sweep()
            except Exception as error:
                logger.warning("sweep_failed", reason=repr(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), self.settings.worker_poll)

    async def sweep(self) -> int:
        """How many it sent. While many messages wait for a worker, none is taken for lost: more of
        them would only make the line longer."""
        lost_before = monotonic() - SEND_AGAIN
        self._sent = {one: at for one, at in self._sent.items() if at > lost_before}
        due = [one for one in await self._due() if one not in self._sent]
        if due:
            due = due[: max(0, AT_ONCE - await self.sender.count_waiting())]
        if not due or not await self.sender.publish([work for work, _ in due]):
            return 0
        self._sent |= dict.fromkeys(due, monotonic())
        return len(due)

    async def _due(self) -> list[tuple[Work, int]]:
        lease = timedelta(seconds=self.settings.job_lease)
        before = now() - timedelta(seconds=ON_ITS_WAY)
        due: list[tuple[Work, int]] = []
        async with self.database.statements() as session:
            for table, kind in KINDS.items():
                if await queue.is_due(session, kind.model, lease=lease):
                    await recover(session, kind, lease=lease)
                rows = await queue.startable_rows(session, kind.model, limit=AT_ONCE, before=before)
                due += [((table, row_id), attempts) for row_id, attempts in rows]
        return due


async def beat(settings: Settings) -> None:
    """Until it is told to stop. One is enough; a second one does no harm."""
    if not settings.broker_url.get_secret_value():
        raise SystemExit("APP_BROKER_URL is not set: workers keep the schedule themselves.")
    told = told_to_stop()
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        print("Keeping the schedule.", flush=True)
        await Sweeper(app, app.state.workforce.sender).run(told)
