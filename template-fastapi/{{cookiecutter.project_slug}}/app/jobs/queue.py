"""The only place where rows of work change their state: each function is one statement, on any
table of `Work`, in the caller's transaction."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import uniform
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Row,
    Select,
    Table,
    UpdateBase,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.db import Database, UtcDateTime, now, one_line
from app.jobs.models import STATES, State, Work

# All columns of a row that was taken.
Claimed = Row[Any]
Executes = AsyncSession | AsyncConnection

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=1)
LONGEST_LEASE = timedelta(minutes=10)  # that processes with other settings may have
LONGEST_ERROR = 500  # characters
LOST = "The worker ended, or lost its connection, in the middle of it."
FINISHED = (State.DONE, State.DEAD, State.CANCELLED, State.IGNORED)
PURGE_AT_ONCE = 1000


def in_state(table: FromClause, *states: State) -> ColumnElement[bool]:
    """Written into the statement, not bound: else partial indexes cannot be used."""
    options = [literal_column(f"'{state}'", STATES) for state in states]
    column: ColumnElement[State] = table.c.state
    return column == options[0] if len(options) == 1 else column.in_(options)


def is_open(table: FromClause) -> ColumnElement[bool]:
    """In the words of the index of order keys: SQLite uses it for no others."""
    return in_state(table, State.WAITING, State.RUNNING)


def startable(table: Table, moment: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Due, and nothing else with its key runs, or waits from before."""
    other = table.alias("other")
    first = or_(other.c.id < table.c.id, in_state(other, State.RUNNING))
    ahead = and_(other.c.order_key == table.c.order_key, is_open(other), first)
    return and_(
        in_state(table, State.WAITING),
        table.c.due_at <= moment,
        or_(table.c.order_key.is_(None), ~exists(select(literal(1)).where(ahead))),
    )


def expired(table: Table, moment: datetime, lease: timedelta | None) -> ColumnElement[bool]:
    over = table.c.lease_until < moment
    if lease is not None:
        # Nobody took it for that long, whatever the leases of others: the clock was put back.
        over = or_(over, table.c.lease_until > moment + max(2 * lease, LONGEST_LEASE))
    return and_(in_state(table, State.RUNNING), over)


def locked(rows: Select[Any]) -> Select[Any]:
    """What another one has locked is left to it (SQLite has one writer, and locks no rows)."""
    return select(rows.with_for_update(skip_locked=True).cte("chosen").c.id)


@asynccontextmanager
async def claiming(database: Database) -> AsyncIterator[AsyncSession]:
    """A session to claim with; what was claimed is committed at the end."""
    if database.engine.dialect.name != "postgresql":
        async with database.statements() as session:
            yield session
        return
    async with database.transactions() as session:
        await session.execute(ALONG_THE_INDEX)
        yield session
        await session.commit()


async def claim(
    session: Executes, model: type[Work], *, limit: int, lease: timedelta
) -> Sequence[Claimed]:
    """Take up to `limit` rows that are due, the longest waiting first."""
    given = taken_now(lease) | {"most": limit}
    rows = await _claimed(session, _claiming(model.__table__), given)
    return sorted(rows, key=lambda row: (row.due_at, row.id))


async def startable_rows(
    session: Executes, model: type[Work], *, limit: int, before: datetime
) -> list[tuple[int, int]]:
    """What could be claimed, and was due before: its id, and how often it was tried already."""
    table = model.__table__
    rows = (
        select(table.c.id, table.c.attempts)
        .where(startable(table, before))
        .order_by(table.c.due_at, table.c.id)
        .limit(limit)
    )
    return [(row.id, row.attempts) for row in await session.execute(rows)]


async def claim_one(
    session: Executes, model: type[Work], row_id: int, *, lease: timedelta
) -> Claimed | None:
    """Take this row, if it is due and nobody has it."""
    given = taken_now(lease) | {"row_id": row_id}
    return next(iter(await _claimed(session, _claiming_one(model.__table__), given)), None)


async def claim_next(
    session: Executes, model: type[Work], order_key: str, *, lease: timedelta
) -> Claimed | None:
    """Take the first row with this key, if it is due and nothing with its key runs."""
    given = taken_now(lease) | {"key": order_key}
    return next(iter(await _claimed(session, _claiming_next(model.__table__), given)), None)


async def _claimed(
    session: Executes, claiming: UpdateBase, given: dict[str, Any]
) -> Sequence[Claimed]:
    for _ in range(2):
        try:
            return (await session.execute(claiming, given)).all()
        except IntegrityError:
            # In the same moment somebody took another row with the same order key, which this
            # statement could not see yet: the next one can.
            await session.rollback()
    return ()


# PostgreSQL counts now and then how many rows wait; where it believes that they are few, it would sort
# all of them to find the first. The index has them in order, however many they are.
ALONG_THE_INDEX = text("SET LOCAL enable_bitmapscan = off")

# Statements that are asked all the time are made once: making one costs about as much as asking it.
MOMENT = bindparam("moment", type_=UtcDateTime)


def taken_now(lease: timedelta) -> dict[str, Any]:
    moment = now()
    return {"moment": moment, "new_lease": uuid4(), "new_lease_until": moment + lease}


@cache
def _claiming(table: Table) -> UpdateBase:
    due = select(table.c.id).where(startable(table, MOMENT)).order_by(table.c.due_at, table.c.id)
    return _taking(table, due.limit(bindparam("most", type_=Integer)))


@cache
def _claiming_one(table: Table) -> UpdateBase:
    this = table.c.id == bindparam("row_id")
    return _taking(table, select(table.c.id).where(this, startable(table, MOMENT)))


@cache
def _claiming_next(table: Table) -> UpdateBase:
    other = table.alias("first")
    with_key = and_(other.c.order_key == bindparam("key"), is_open(other))
    this = table.c.id == select(func.min(other.c.id)).where(with_key).scalar_subquery()
    return _taking(table, select(table.c.id).where(this, startable(table, MOMENT)))


def _taking(table: Table, rows: Select[Any]) -> UpdateBase:
    return (
        update(table)
        .where(table.c.id.in_(locked(rows)))
        .values(
            state=State.RUNNING,
            attempts=table.c.attempts + 1,
            lease=bindparam("new_lease"),
            lease_until=bindparam("new_lease_until"),
        )
        .returning(*table.c)
    )


async def recover(
    session: Executes, model: type[Work], *, lease: timedelta | None = None
) -> Sequence[Row[Any]]:
    """Give back what workers had that are gone: id and new state of each. The attempt counts, so
    that a row that ends its worker each time is dead in the end. `lease`: as long as workers take
    rows for."""
    table = model.__table__
    spent = table.c.attempts >= table.c.max_attempts
    rows = select(table.c.id).where(expired(table, now(), lease))
    statement = (
        update(table)
        .where(table.c.id.in_(locked(rows)))
        .values(
            state=case((spent, State.DEAD), else_=State.WAITING),
            finished_at=case((spent, now()), else_=None),
            lease=None,
            lease_until=None,
            last_error=LOST,
        )
        .returning(table.c.id, table.c.state)
    )
    return (await session.execute(statement)).all()


async def hurry(session: Executes, model: type[Work], put_back: timedelta) -> None:
    """The machine's clock was put back by so much: what was due at once, or was to be tried again, would
    wait until that time comes once more. What somebody wanted later still waits."""
    table, moment = model.__table__, now()
    at_once = table.c.due_at <= table.c.created_at
    again = and_(table.c.attempts > 0, table.c.due_at <= moment + put_back + LONGEST_PAUSE)
    rows = select(table.c.id).where(
        in_state(table, State.WAITING), table.c.due_at > moment, or_(at_once, again)
    )
    await session.execute(update(table).where(table.c.id.in_(locked(rows))).values(due_at=moment))


async def renew(
    session: Executes, model: type[Work], leases: Iterable[UUID], *, lease: timedelta
) -> set[int]:
    """The ids of the rows that are still theirs; who has lost one has to stop."""
    table = model.__table__
    statement = (
        update(table)
        .where(in_state(table, State.RUNNING), table.c.lease.in_(list(leases)))
        .values(lease_until=now() + lease)
        .returning(table.c.id)
    )
    return set((await session.scalars(statement)).all())


async def _leave(
    session: Executes, model: type[Work], row: Claimed, **values: Any
) -> Row[Any] | None:
    """None when the lease is somebody else's by now, or nobody's."""
    statement = _leaving(model.__table__, *values)
    given = {"row_id": row.id, "row_lease": row.lease, "row_order_key": row.order_key}
    given |= {f"new_{name}": value for name, value in values.items()}
    return (await session.execute(statement, given)).one_or_none()


@cache
def _leaving(table: Table, *names: str) -> UpdateBase:
    other = table.alias("other")
    same_key = other.c.order_key == bindparam("row_order_key")
    behind = exists().where(same_key, is_open(other), other.c.id != bindparam("row_id"))
    return (
        update(table)
        .where(table.c.id == bindparam("row_id"), table.c.lease == bindparam("row_lease"))
        .values(lease=None, lease_until=None, **{name: bindparam(f"new_{name}") for name in names})
        .returning(behind.label("followed"))
    )


@dataclass(frozen=True)
class Finished:
    # Whether others waited for their turn behind it.
    followed: bool


async def finish(
    session: Executes, model: type[Work], row: Claimed, state: State = State.DONE
) -> Finished | None:
    """None when the row was lost in the meantime: whoever did its work has to roll that back."""
    left = await _leave(session, model, row, state=state, finished_at=now(), last_error=None)
    return left and Finished(bool(left.followed))


async def fail(
    session: Executes,
    model: type[Work],
    row: Claimed,
    error: BaseException,
    *,
    final: bool = False,
    after: timedelta | None = None,
) -> State | None:
    """Try it again later, or bury it after its last attempt or when that is `final`. The new state,
    or None when the row was lost in the meantime."""
    dead = final or row.attempts >= row.max_attempts
    values: dict[str, Any] = {"state": State.DEAD, "finished_at": now()}
    if not dead:
        delay = pause(row.attempts) if after is None else after
        values = {"state": State.WAITING, "due_at": now() + delay}
    left = await _leave(session, model, row, last_error=describe(error), **values)
    return values["state"] if left else None


async def release(session: Executes, model: type[Work], row: Claimed) -> bool:
    """Give it back as if it had not been taken."""
    left = await _leave(session, model, row, state=State.WAITING, attempts=row.attempts - 1)
    return left is not None


async def replay(session: Executes, model: type[Work], ids: Iterable[int]) -> list[int]:
    """Do what is finished once more, from the first attempt on: the ids for which that was so."""
    return await _change(
        session,
        model,
        ids,
        FINISHED,
        state=State.WAITING,
        due_at=now(),
        attempts=0,
        finished_at=None,
    )


async def cancel(session: Executes, model: type[Work], ids: Iterable[int]) -> list[int]:
    """What waits is not started, and what runs cannot commit: the ids for which that was so."""
    return await _change(
        session,
        model,
        ids,
        (State.WAITING, State.RUNNING),
        state=State.CANCELLED,
        lease=None,
        lease_until=None,
        finished_at=now(),
    )


async def _change(
    session: Executes, model: type[Work], ids: Iterable[int], states: Sequence[State], **values: Any
) -> list[int]:
    table = model.__table__
    statement = (
        update(table)
        .where(table.c.id.in_(list(ids)), in_state(table, *states))
        .values(**values)
        .returning(table.c.id)
    )
    return sorted((await session.scalars(statement)).all())


async def purge(
    session: Executes,
    model: type[Work],
    *,
    before: datetime,
    dead: bool = False,
    limit: int | None = None,
) -> int:
    """Delete up to `limit` rows that were finished before; those that are dead only when asked to."""
    table = model.__table__
    states = FINISHED if dead else [state for state in FINISHED if state is not State.DEAD]
    rows = (
        select(table.c.id)
        .where(table.c.finished_at < before, in_state(table, *states))
        .order_by(table.c.finished_at)
        .limit(limit or PURGE_AT_ONCE)
    )
    gone = await session.execute(
        delete(table).where(table.c.id.in_(locked(rows))).returning(table.c.id)
    )
    return len(gone.all())


async def is_due(session: Executes, model: type[Work], *, lease: timedelta | None = None) -> bool:
    """Whether there may be something to take or to recover: a question that locks nothing."""
    table = model.__table__
    moment = now()
    waiting = exists().where(in_state(table, State.WAITING), table.c.due_at <= moment)
    lost = exists().where(expired(table, moment, lease))
    return bool(await session.scalar(select(or_(waiting, lost))))


@dataclass(frozen=True)
class Counts:
    waiting: int
    running: int
    dead: int
    # Seconds since the row was due that should have been taken first.
    oldest: float


async def counts(session: Executes, model: type[Work]) -> Counts:
    """Of what is not done: that stays quick, however much is done."""
    table = model.__table__

    def number(state: State) -> Any:
        return select(func.count()).where(in_state(table, state)).scalar_subquery()

    due = select(func.min(table.c.due_at)).where(
        in_state(table, State.WAITING), table.c.due_at <= now()
    )
    waiting, running, dead, oldest = (
        await session.execute(
            select(
                number(State.WAITING),
                number(State.RUNNING),
                number(State.DEAD),
                due.scalar_subquery(),
            )
        )
    ).one()
    age = (now() - oldest).total_seconds() if oldest else 0.0
    return Counts(waiting, running, dead, max(age, 0.0))


def pause(attempts: int) -> timedelta:
    """Longer each time, and any part of that: what failed together does not come back together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 20))
    return longest * uniform(0, 1)  # noqa: S311 - nobody gains from guessing it


def describe(error: BaseException) -> str:
    """Its type and one line. No more: values of SQL and bodies stand in the lines below."""
    text = one_line(error).replace("\x00", "")
    name = type(error).__name__
    return (name if text == name else f"{name}: {text}")[:LONGEST_ERROR]
