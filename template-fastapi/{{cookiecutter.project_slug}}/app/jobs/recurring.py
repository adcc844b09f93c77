"""Which jobs are due by the clock. All processes look; the row of a schedule lets one enqueue."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from time import monotonic, time

from cronsim import CronSim
from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, now
from app.jobs import queue
from app.jobs.models import Schedule
from app.jobs.registry import CRONS, KINDS
from app.jobs.service import enqueue

# Seconds. Somebody else may have been first, and died.
LOOK_AGAIN = 60
PUT_BACK = timedelta(seconds=1)  # less than that harms nobody


def next_time(cron: str, after: datetime) -> datetime:
    return next(CronSim(cron, after))


def ahead() -> timedelta:
    """Of a clock that nobody sets: what changes, somebody has set."""
    return timedelta(seconds=time() - monotonic())


class Clock:
    """Enqueues what is due, and knows when to look next: until then it asks nobody."""

    def __init__(self, crons: Mapping[str, str] = CRONS) -> None:
        self.crons = crons
        self.next_look: datetime | None = None
        self.ahead = ahead()
        self.put_back = timedelta()
        self.put_back_until = 0.0

    async def tick(self, database: Database) -> int:
        """How many jobs it enqueued."""
        await self.look_at_itself(database)
        moment = now()
        # Later than that is only right when the machine's clock was put back.
        latest = moment + timedelta(seconds=LOOK_AGAIN)
        if not self.crons or (self.next_look and moment < self.next_look <= latest):
            return 0
        if self.next_look is None:
            async with database.transactions.begin() as session:
                for name, cron in self.crons.items():
                    await remember(session, name, cron)
        enqueued = 0
        for name in await self.due(database, moment):
            async with database.transactions.begin() as session:
                enqueued += await advance(session, name, self.crons[name], moment)
        self.next_look = min([latest, *(next_time(cron, moment) for cron in self.crons.values())])
        return enqueued

    async def look_at_itself(self, database: Database) -> None:
        """Whether the machine's clock was put back; what was committed a moment later has the times
        from before, too."""
        before, self.ahead = self.ahead, ahead()
        if before - self.ahead > PUT_BACK:
            self.put_back = before - self.ahead
            self.put_back_until = monotonic() + LOOK_AGAIN
        if monotonic() < self.put_back_until:
            async with database.statements() as session:
                for kind in KINDS.values():
                    await queue.hurry(session, kind.model, self.put_back)

    async def due(self, database: Database, moment: datetime) -> list[str]:
        """Those whose time has come, or is so far away that the clock must have been put back."""
        async with database.readers() as session:
            rows = await session.execute(
                select(Schedule.name, Schedule.cron, Schedule.due_at).where(
                    Schedule.name.in_(self.crons)
                )
            )
            return [
                name
                for name, cron, due_at in rows
                if due_at <= moment
                or (cron == self.crons[name] and due_at > next_time(cron, moment))
            ]


async def remember(session: AsyncSession, name: str, cron: str) -> None:
    """What is new, or has another time now, begins with its next time."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    values = {"cron": cron, "due_at": next_time(cron, now())}
    await session.execute(
        dialect.insert(Schedule)
        .values(name=name, **values)
        .on_conflict_do_update(
            index_elements=[Schedule.name], set_=values, where=Schedule.cron != cron
        )
    )


async def advance(session: AsyncSession, name: str, cron: str, moment: datetime) -> bool:
    """Whether we were the one that enqueued it. However many times were missed, that is one job."""
    following = next_time(cron, moment)
    was_due = Schedule.due_at
    mine = await session.execute(
        update(Schedule)
        .where(Schedule.name == name, or_(was_due <= moment, was_due > following))
        .values(due_at=following)
        .returning(Schedule.name)
    )
    if mine.scalar() is None:
        return False
    await enqueue(session, name, unique_key=f"every:{name}")
    return True
