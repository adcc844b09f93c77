"""Keeps events before they are answered. What comes while others are being written is written
together with the next: one statement and one commit for all of them, and no wait when it is idle."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import Database
from app.errors import DatabaseUnavailableError
from app.webhooks.handlers import Event
from app.webhooks.models import WebhookEvent

MOST_AT_ONCE = 200  # rows
MOST_BYTES = 4_000_000  # of bodies at once
PATIENCE = 10  # seconds; senders wait for 10 to 30

Values = dict[str, Any]


class Intake:
    """Of one process. `wake` is called when something new was committed."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        postgres = database.engine.dialect.name == "postgresql"
        dialect = postgresql if postgres else sqlite
        self.insert: Insert = dialect.insert(WebhookEvent.__table__).on_conflict_do_nothing(
            index_elements=["source", "event_id"]
        )
        # PostgreSQL's driver sends all rows in one round trip, as a transaction of its own.
        self.engine: AsyncEngine = (
            database.engine.execution_options(isolation_level="AUTOCOMMIT")
            if postgres
            else database.engine
        )
        self.wake = wake
        self.waiting: list[tuple[Values, asyncio.Future[None]]] = []
        self.writing: asyncio.Task[None] | None = None

    async def keep(self, event: Event, *, order_key: str | None = None) -> None:
        """Returns when it is committed, now or long ago. Raises what a database raises that does not
        answer: nothing may be acknowledged then."""
        values = {
            "source": event.source,
            "event_id": event.id,
            "event_type": event.type,
            "headers": event.headers,
            "body": event.body,
            "order_key": order_key,
            "created_at": event.received_at,
            "due_at": event.received_at,
        }
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((values, kept))
        if self.writing is None:
            self.writing = asyncio.create_task(self._write_all())
        await kept

    async def close(self) -> None:
        if self.writing is not None:
            await self.writing

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
            if len(rows) > 1 and isinstance(error, DBAPIError) and not error.connection_invalidated:
                # One of them is bad, or another process wrote the same ones in another order.
                return [outcome for row in rows for outcome in await self._write([row])]
            return [error] * len(rows)
        self.wake()
        return [None] * len(rows)

    async def _insert(self, rows: Sequence[Values]) -> None:
        try:
            async with asyncio.timeout(PATIENCE), self.engine.begin() as connection:
                await connection.execute(self.insert, list(rows))
        except TimeoutError as error:
            raise DatabaseUnavailableError("The database takes too long.") from error
