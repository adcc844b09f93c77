import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog

{% if "traces" in cookiecutter.observability %}
from app import traces
{% endif %}
from app.db import Database, one_line
from app.jobs import queue
from app.jobs.models import State
from app.jobs.queue import Claimed
from app.jobs.recurring import Clock
from app.jobs.registry import KINDS, GiveUpError, Kind, RetryError
from app.jobs.waking import CHANNEL, Bell, Work
from app.settings import Settings

logger = structlog.get_logger()

A_LITTLE = 0.01  # seconds
AFTER_A_FAILURE = 0.5  # seconds, at most, until a lease is renewed again


@dataclass(eq=False)
class Handling:
    kind: Kind
    row: Claimed
    task: "asyncio.Task[None]" = field(init=False)
    # From here on its own transaction finds out whether the row is still ours.
    ending: bool = False
    # Whether others may wait for their turn behind it.
    followed: bool = True
    lost: bool = False


class Worker:
    """Does what is due, several at once, until it is stopped.

    It has connections of its own: as many as it runs handlers, and three to claim, renew and listen.
    """

    def __init__(self, settings: Settings, bell: Bell, *, kinds: Iterable[Kind] = ()) -> None:
        self.settings = settings
        self.bell = bell
        self.kinds = list(kinds) or list(KINDS.values())
        self.lease = timedelta(seconds=settings.job_lease)
        pool_size = settings.worker_concurrency + 3
        self.database = Database(settings.model_copy(update={"database_pool_size": pool_size}))
        bell.attach(self.database)
{% if "traces" in cookiecutter.observability %}
        if settings.otlp_endpoint:
            traces.watch(self.database)
{% endif %}
        self.clock = Clock()
        self.handling: set[Handling] = set()
        self._claiming: list[Kind] = []
        self._woken = asyncio.Event()
        self._rung = 0
        # Of which something may have become due, and of which more was due than could begin.
        self._due: set[Kind] = set()
        self._more: set[Kind] = set()
        self._timer: asyncio.TimerHandle | None = None
        # Keys whose turn may have come: the row before them is done.
        self._next: list[tuple[Kind, str]] = []
        self.stopping = False
        self._in_trouble = False

    @property
    def free(self) -> int:
        return self.settings.worker_concurrency - len(self.handling)

    def free_for(self, kind: Kind) -> int:
        """How many of this kind may begin."""
        most = max(1, int(self.settings.worker_concurrency * kind.share))
        begun = [*(one.kind for one in self.handling), *self._claiming]
        return min(self.free, most - begun.count(kind))

    @contextmanager
    def claiming(self, kind: Kind) -> Iterator[None]:
        """While it lasts, one of this kind is about to begin: it has its place already."""
        self._claiming.append(kind)
        try:
            yield
        finally:
            self._claiming.remove(kind)

    @property
    def patience(self) -> float:
        """Seconds that handlers get to finish; in development somebody waits for the new code."""
        return self.settings.shutdown_timeout if self.settings.environment == "production" else 1

    def wake(self, _: Collection[Work] = ()) -> None:
        self._rung += 1
        self._due.update(self.kinds)
        self._woken.set()

    def stop(self) -> None:
        self.stopping = True
        self.wake()

    async def run(self) -> None:
        """Until `stop()`; then handlers finish, or what they had is given back."""
        helpers = [self._listen_for_ever()] if self.bell.notifies else []
        self.bell.listeners.add(self.wake)
        try:
            async with self.handlers(*helpers):
                await self._work()
        finally:
            self.bell.listeners.discard(self.wake)

    @asynccontextmanager
    async def handlers(self, *helpers: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """While it lasts, handlers may run: their leases are renewed."""
        tasks = [asyncio.create_task(helper) for helper in (self._renew_for_ever(), *helpers)]
        try:
            yield
        finally:
            await self.end_handlers()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.database.close()

    async def _work(self) -> None:
        next_look = 0.0
        while not self.stopping:
            self._woken.clear()
            try:
                if monotonic() >= next_look:
                    next_look = monotonic() + self.settings.worker_poll
                    await self.clock.tick(self.database)
                    self._due.update(await self._look())
                if self._due:
                    await self._take()
                await self._take_next()
                self._in_trouble = False
            except Exception as error:
                # Once, not each second for as long as the database is away.
                if not self._in_trouble:
                    logger.warning("worker_waits", reason=repr(error))
                self._in_trouble = True
            with suppress(TimeoutError):
                async with asyncio.timeout(max(next_look - monotonic(), 0)):
                    await self._woken.wait()

    async def _look(self) -> list[Kind]:
        """What is due. Ask first: to take nothing would make all writers wait on SQLite."""
        due = []
        for kind in self.kinds:
            async with self.database.readers() as session:
                if not await queue.is_due(session, kind.model, lease=self.lease):
                    continue
            due.append(kind)
            # What it runs itself is not lost, however late it was to renew that.
            await self._renew(kind)
            async with self.database.statements() as session:
                await recover(session, kind, lease=self.lease)
        return due

    async def _take(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due, self._due = self._due, set()
        # In turns: one kind must not keep the others out.
        self.kinds.append(self.kinds.pop(0))
        for kind in [kind for kind in self.kinds if kind in due]:
            if (limit := self.free_for(kind)) <= 0:
                self._more.add(kind)
                continue
            async with queue.claiming(self.database) as session:
                rows = await queue.claim(session, kind.model, limit=limit, lease=self.lease)
            if len(rows) == limit:
                self._more.add(kind)
            else:
                self._more.discard(kind)
            for row in rows:
                self._begin(kind, row)
            if kind in self._more and self.free_for(kind) > 0:
                # Others ended while it was asked.
                self._due.add(kind)
                self._woken.set()

    async def _take_next(self) -> None:
        """Of the keys whose turn may have come: to look through all that is due costs more."""
        while self._next:
            kind, key = self._next.pop()
            if self.free_for(kind) <= 0:
                self._more.add(kind)
                continue
            async with self.database.statements() as session:
                row = await queue.claim_next(session, kind.model, key, lease=self.lease)
            if row is not None:
                self._begin(kind, row)

    def start(self, kind: Kind, row: Claimed) -> Handling:
        handling = Handling(kind, row)
        handling.task = asyncio.create_task(self._handle(handling))
        self.handling.add(handling)
        handling.task.add_done_callback(lambda _: self.handling.discard(handling))
        return handling

    def _begin(self, kind: Kind, row: Claimed) -> None:
        """And go on when it has ended. Where a broker says what to do, nothing goes on by itself."""
        handling = self.start(kind, row)
        handling.task.add_done_callback(lambda _: self._ended(handling))

    def _ended(self, handling: Handling) -> None:
        kind, key = handling.kind, handling.row.order_key
        in_turn = key is not None and handling.followed
        if self._more:
            # Others wait, too: whose turn it is comes by the order of all.
            self._due |= {kind, *self._more} if in_turn else self._more
            self._go_on()
        elif key is not None and in_turn:
            self._next.append((kind, key))
            self._woken.set()

    def _go_on(self) -> None:
        """Take what is due, perhaps a little later: several at once cost no more than one."""
        if self.free >= self.settings.worker_concurrency // 4:
            self._woken.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(A_LITTLE, self._woken.set)

    async def _handle(self, handling: Handling) -> None:
        kind, row = handling.kind, handling.row
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(job=kind.name(row), job_id=row.id)
        started = monotonic()
        try:
{% if "traces" in cookiecutter.observability %}
            with traces.work(kind.model.__tablename__, kind.name(row)):
                done = await self._do(handling)
{% else %}
            done = await self._do(handling)
{% endif %}
            if done:
                took = round((monotonic() - started) * 1000, 1)
                logger.info("work_done", attempt=row.attempts, duration_ms=took)
            else:
                logger.warning("work_lost")
        except asyncio.CancelledError as error:
            if handling.lost:
                logger.warning("work_lost")
            elif (task := asyncio.current_task()) and task.cancelling():
                await self._give_back(handling)
            else:
                # Not we: something that the handler waited for was cancelled.
                await self._failed(handling, error)
        except Exception as error:
            await self._failed(handling, error)

    async def _do(self, handling: Handling) -> bool:
        """False when the row was lost in the meantime: then nothing of it is kept."""
        kind, row = handling.kind, handling.row
        async with self.database.transactions() as session:
            state = await kind.run(session, row)
            handling.ending, rung = True, self._rung
            finished = await queue.finish(session, kind.model, row, state)
            if finished is None:
                return False
            await session.commit()
            # What was looked for since then could not begin yet, and this statement did not see it.
            handling.followed = finished.followed or rung != self._rung
            return True

    async def _give_back(self, handling: Handling) -> None:
        try:
            async with self.database.statements() as session:
                await queue.release(session, handling.kind.model, handling.row)
        except Exception as error:
            logger.warning("work_not_given_back", reason=repr(error))
        else:
            logger.info("work_given_back")

    async def _failed(self, handling: Handling, error: BaseException) -> None:
        try:
            async with self.database.statements() as session:
                state = await queue.fail(
                    session,
                    handling.kind.model,
                    handling.row,
                    error,
                    final=isinstance(error, GiveUpError),
                    after=error.after if isinstance(error, RetryError) else None,
                )
        except Exception as trouble:
            # It comes back when its lease has expired.
            logger.warning("failure_not_kept", reason=repr(trouble), error=queue.describe(error))
            return
        if state is State.DEAD:
            bare = without_values(error)
            logger.error("work_dead", attempt=handling.row.attempts, exc_info=bare)
        elif state is State.WAITING:
            text = queue.describe(error)
            logger.warning("work_failed", attempt=handling.row.attempts, error=text)
        else:
            logger.warning("work_lost")

    async def end_handlers(self) -> None:
        if tasks := [handling.task for handling in self.handling]:
            _, late = await asyncio.wait(tasks, timeout=self.patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _renew_for_ever(self) -> None:
        pause = self.settings.job_lease / 4
        while True:
            await asyncio.sleep(pause)
            try:
                for kind in list(self.kinds):
                    await self._renew(kind)
                pause = self.settings.job_lease / 4
            except Exception as error:
                logger.warning("leases_not_renewed", reason=repr(error))
                pause = min(AFTER_A_FAILURE, pause)

    async def _renew(self, kind: Kind) -> None:
        held = [one for one in self.handling if one.kind is kind and not one.ending]
        if not held:
            return
        leases = {one.row.lease for one in held}
        async with self.database.statements() as session:
            mine = await queue.renew(session, kind.model, leases, lease=self.lease)
        for one in held:
            if one.row.id not in mine and not one.ending:
                one.lost = True
                one.task.cancel()

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:
                logger.warning("worker_not_listening", reason=repr(error))
            await asyncio.sleep(self.settings.worker_poll)

    async def _listen(self) -> None:
        """Until the connection is lost."""
        async with self.database.engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            ended = asyncio.Event()
            driver.add_termination_listener(lambda _: ended.set())
            await driver.add_listener(CHANNEL, lambda *_: self.wake())
            try:
                self.wake()
                await ended.wait()
            finally:
                # It has a listener: nobody else may get it.
                await connection.invalidate()


async def recover(session: queue.Executes, kind: Kind, *, lease: timedelta) -> None:
    """Take back what workers had that are gone."""
    table = kind.model.__tablename__
    for row in await queue.recover(session, kind.model, lease=lease):
        if row.state is State.DEAD:
            logger.error("work_dead", table=table, id=row.id, exc_info=GiveUpError(queue.LOST))
        else:
            logger.warning("work_recovered", table=table, id=row.id)


def without_values(error: BaseException) -> Exception:
    """For logs: its type by name, its first line, and where it was raised. What stands below the
    first line, and in its causes, quotes payloads."""
    kind = type(error)
    bare = type(kind.__name__, (Exception,), {"__module__": kind.__module__})
    made: Exception = bare(one_line(error))
    return made.with_traceback(error.__traceback__)


class Workforce:
    """What works in one process: the bell and, unless work is done elsewhere, a worker."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.bell = Bell(settings, database)
        self.worker = Worker(settings, self.bell) if settings.embedded_worker else None
        self._task = asyncio.create_task(self.worker.run()) if self.worker else None

    async def stop(self) -> None:
        if self.worker and self._task:
            self.worker.stop()
            await self._task
        await self.bell.close()
