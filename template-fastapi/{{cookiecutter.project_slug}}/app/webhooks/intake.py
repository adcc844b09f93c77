"""Keeps events before they are answered. What comes while others are being written is written
together with the next: one statement and one commit for all of them, after a short pause when there
were several the last time too, and at once when it is idle."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from app.db import Database, create_engine
from app.errors import DatabaseUnavailableError
from app.jobs.models import MAX_ATTEMPTS
from app.jobs.waking import UNKNOWN, Bell
from app.settings import Settings
from app.webhooks.encryption import fernet_of
from app.webhooks.handlers import Event
from app.webhooks.models import WebhookEvent

MOST_AT_ONCE = 200  # rows
PAUSE = 0.003  # seconds in which more may come, while it is busy
MOST_BYTES = 4_000_000  # of bodies at once
PATIENCE = 10  # seconds; senders wait for 10 to 30

# PostgreSQL's classes of states: data exceptions and violated constraints. SQLite has none.
BAD_VALUES = ("22", "23")
BAD_VALUE_ERRORS = (DataError, IntegrityError)

EVENTS = WebhookEvent.__table__

Values = dict[str, Any]


def durable_sqlite(settings: Settings) -> AsyncEngine:
    """Whose commits are on the disk, and outlive a power cut: the sender will not send it again. The
    application's own connections leave that to the next checkpoint."""
    engine = create_engine(settings)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine


class Intake:
    """Of one process. What it commits rings the bell: with ids for a broker, which carries them."""

    def __init__(self, database: Database, bell: Bell, *, tells_ids: bool = False) -> None:
        postgres = database.engine.dialect.name == "postgresql"
        dialect = postgresql if postgres else sqlite
        insert = dialect.insert(EVENTS).on_conflict_do_nothing(
            index_elements=["source", "event_id"]
        )
        self.tells_ids = tells_ids
        self.insert: Executable = insert.returning(EVENTS.c.id) if tells_ids else insert
        # PostgreSQL's driver sends all rows in one round trip, as a transaction of its own.
        self.engine: AsyncEngine = (
            database.engine.execution_options(isolation_level="AUTOCOMMIT")
            if postgres
            else durable_sqlite(bell.settings)
        )
        self.owned = None if postgres else self.engine
        self.bell = bell
        self.fernet = fernet_of(bell.settings)
        self.waiting: list[tuple[Values, asyncio.Future[None]]] = []
        self.writing: asyncio.Task[None] | None = None

    async def keep(
        self, what: Event, *, order_key: str | None = None, max_attempts: int = MAX_ATTEMPTS
    ) -> None:
        """Returns when it is committed, now or long ago. Raises what a database raises that does not
        answer: nothing may be acknowledged then."""
        values = {
            "source": what.source,
            "event_id": what.id,
            "event_type": what.type,
            "headers": what.headers,
            "body": self.fernet.encrypt(what.body) if self.fernet else what.body,
            "encrypted": self.fernet is not None,
            "order_key": order_key,
            "max_attempts": max_attempts,
            "created_at": what.received_at,
            "due_at": what.received_at,
        }
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((values, kept))
        if self.writing is None:
            self.writing = asyncio.create_task(self._write_all())
        await kept

    async def close(self) -> None:
        if self.writing is not None:
            await self.writing
        if self.owned is not None:
            await self.owned.dispose()

    async def _write_all(self) -> None:
        while batch := self._take():
            rows, waiting = zip(*batch, strict=True)
            for one, error in zip(waiting, await self._write(rows), strict=True):
                if one.done():
                    continue  # who waited for it has gone
                if error is None:
                    one.set_result(None)
                else:
                    one.set_exception(error)
            if len(batch) > 1:
                await asyncio.sleep(PAUSE)
        self.writing = None

    def _take(self) -> list[tuple[Values, asyncio.Future[None]]]:
        count = size = 0
        for values, _ in self.waiting[:MOST_AT_ONCE]:
            size += len(values["body"])
            if count and size > MOST_BYTES:
                break
            count += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    async def _write(self, rows: Sequence[Values]) -> list[Exception | None]:
        """What became of each."""
        try:
            await self._insert(rows)
        except Exception as error:
            if len(rows) > 1 and is_refusal(error):
                # One of them is bad: the others are kept.
                return [outcome for row in rows for outcome in await self._write([row])]
            return [error] * len(rows)
        return [None] * len(rows)

    async def _insert(self, rows: Sequence[Values]) -> None:
        try:
            async with asyncio.timeout(PATIENCE), self.engine.begin() as connection:
                # In the same order as other processes have: then none waits for one that waits for it.
                ordered = sorted(rows, key=lambda row: (row["source"], row["event_id"]))
                result = await connection.execute(self.insert, ordered)
                ids = result.scalars().all() if self.tells_ids else ()
        except TimeoutError as error:
            raise DatabaseUnavailableError("The database takes too long.") from error
        self.bell.ring([(EVENTS.name, one) for one in ids] or [UNKNOWN])


def is_refusal(error: Exception) -> bool:
    """Of a value. What is locked, slow, full or gone will refuse each of them, one after the other."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return str(state)[:2] in BAD_VALUES if state else isinstance(error, BAD_VALUE_ERRORS)
