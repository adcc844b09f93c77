"""Who enqueues wakes the workers: in its own process at once, in others by PostgreSQL's NOTIFY.

Only the time until work begins depends on it: workers also look by themselves.
"""

import asyncio
from collections.abc import Callable, Collection

import structlog
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from app.db import Database
from app.settings import Settings

CHANNEL = "work"
# PostgreSQL commits one after the other where each sends a NOTIFY. So transactions do not send it
# themselves, and one stands for all of these seconds.
AT_ONCE = 0.05


# Table and id of a row.
Work = tuple[str, int]
UNKNOWN: Work = ("", 0)


class RingingSession(Session):
    """Rings after its commit, when something was enqueued."""


@event.listens_for(RingingSession, "after_commit")
def ring_after_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return  # of a savepoint
    if work := session.info.pop("enqueued", None):
        session.info["bell"].ring(work)


@event.listens_for(RingingSession, "after_rollback")
def forget_after_rollback(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info.pop("enqueued", None)


def enqueued(session: AsyncSession, *work: Work) -> None:
    """To be called by whoever adds rows of work: for a broker it is better to say which."""
    session.info.setdefault("enqueued", set()).update(work or {UNKNOWN})


class Bell:
    """One for each process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.listeners: set[Callable[[Collection[Work]], None]] = set()
        self.notifies = database.engine.dialect.name == "postgresql"
        self._waiting = False
        self._notifying: set[asyncio.Task[None]] = set()
        self.attach(database)

    def attach(self, database: Database) -> None:
        """What is enqueued in its transactions rings."""
        database.transactions.configure(
            sync_session_class=RingingSession, info={"bell": self, "settings": self.settings}
        )

    def ring(self, work: Collection[Work]) -> None:
        for listen in self.listeners:
            listen(work)
        if self.notifies and not self._waiting:
            self._waiting = True
            task = asyncio.get_running_loop().create_task(self._notify())
            self._notifying.add(task)
            task.add_done_callback(self._notifying.discard)

    async def _notify(self) -> None:
        await asyncio.sleep(AT_ONCE)
        # What is committed from here on needs the next one.
        self._waiting = False
        try:
            async with self.database.readers() as session:
                await session.execute(text(f"NOTIFY {CHANNEL}"))
        except Exception as error:
            structlog.get_logger().warning("workers_not_notified", reason=repr(error))

    async def close(self) -> None:
        await asyncio.gather(*self._notifying)
