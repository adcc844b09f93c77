from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Enum, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime, now

MOST_KEY = 200  # characters
MAX_ATTEMPTS = 15  # with the pauses between them that is up to four hours, two on average


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    IGNORED = "ignored"


STATES = Enum(
    State,
    name="state",
    native_enum=False,
    create_constraint=True,
    length=10,
    values_callable=lambda states: [state.value for state in states],
)
OPEN = "state IN ('waiting', 'running')"
RUNNING_IN_ORDER = "order_key IS NOT NULL AND state = 'running'"


def partial_index(
    *columns: str, where: str, name: str | None = None, unique: bool = False
) -> Index:
    condition = text(where)
    return Index(name, *columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def check_key(name: str, key: str | None) -> None:
    """Raises ValueError: PostgreSQL would refuse it later, together with all else in the transaction."""
    if key is not None and (not 0 < len(key) <= MOST_KEY or "\x00" in key):
        raise ValueError(f"{name} has 1 to {MOST_KEY} characters, and none of them is NUL.")


class Work(Base):
    """A table whose rows are worked on. The row is the truth: what is not in it did not happen.

    `app.jobs.queue` alone changes the columns below.
    """

    __abstract__ = True

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    state: Mapped[State] = mapped_column(STATES, default=State.WAITING)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=MAX_ATTEMPTS)
    # Whose work it is: new each time that it is taken, so that who had it before cannot commit.
    lease: Mapped[UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Of those with the same key, one at a time, in the order of their ids.
    order_key: Mapped[str | None] = mapped_column(String(MOST_KEY))
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @staticmethod
    def indexes() -> tuple[Index, ...]:
        """What `app.jobs.queue` needs, for `__table_args__`: small, however much is done already."""
        return (
            partial_index("due_at", "id", where="state = 'waiting'"),
            partial_index("lease_until", where="state = 'running'"),
            partial_index("state", where="state = 'dead'"),
            partial_index("order_key", "id", where=f"order_key IS NOT NULL AND {OPEN}"),
            partial_index("order_key", where=RUNNING_IN_ORDER, unique=True),
            partial_index("finished_at", where="finished_at IS NOT NULL"),
        )


class Job(Work):
    """A call of a function of `app/handlers/`, to be made once."""

    __tablename__ = "jobs"
    __table_args__ = (
        *Work.indexes(),
        partial_index("unique_key", where=OPEN, name="uq_jobs_unique_key", unique=True),
    )

    name: Mapped[str] = mapped_column(String(200))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    # There is one at most that waits or runs.
    unique_key: Mapped[str | None] = mapped_column(String(MOST_KEY))


class Schedule(Base):
    """When what recurs is due next; all processes share it, so that one of them enqueues it."""

    __tablename__ = "job_schedules"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    cron: Mapped[str] = mapped_column(String(200))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
