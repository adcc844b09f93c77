import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.errors import NotFoundError
from app.jobs import queue
from app.jobs.models import OPEN, Job, State, check_key
from app.jobs.registry import JOBS, Definition, Function, name_of
from app.jobs.waking import enqueued

JOB_TABLE = Job.__table__


async def enqueue(
    session: AsyncSession,
    job: str | Function,
    arguments: Mapping[str, Any] | None = None,
    *,
    due_at: datetime | None = None,
    delay: timedelta | None = None,
    unique_key: str | None = None,
    order_key: str | None = None,
) -> int:
    """The id of a new job, which is there when the session's transaction commits and never was when
    it rolls back. With a `unique_key` of a job that waits or runs it is the id of that one.

    Jobs with the same `order_key` run one at a time, each when those before it are finished.
    Raises LookupError, TypeError or ValueError for what no worker could do.
    """
    definition = find(job)
    check_key("unique_key", unique_key)
    check_key("order_key", order_key)
    values = {
        "name": definition.name,
        "arguments": checked(definition, arguments or {}),
        "max_attempts": definition.max_attempts,
        "due_at": (due_at or now()) + (delay or timedelta()),
        "unique_key": unique_key,
        "order_key": order_key,
    }
    job_id = None
    # The one that is there may be finished before it is read.
    while job_id is None:
        job_id = await session.scalar(insertion(session, values))
        if job_id is None:
            job_id = await session.scalar(open_job(unique_key))
    enqueued(session, (Job.__tablename__, job_id))
    return int(job_id)


def insertion(session: AsyncSession, values: Mapping[str, Any]) -> Any:
    """Returns no id when there is one with its unique key."""
    if values["unique_key"] is None:
        return insert(JOB_TABLE).values(values).returning(JOB_TABLE.c.id)
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return (
        dialect.insert(Job)
        .values(values)
        .on_conflict_do_nothing(index_elements=[Job.unique_key], index_where=text(OPEN))
        .returning(Job.id)
    )


def open_job(unique_key: str | None) -> Any:
    return select(Job.id).where(Job.unique_key == unique_key, text(OPEN))


def find(job: str | Function) -> Definition:
    """Raises LookupError: a job that no worker knows must not be enqueued."""
    named = [one for one in JOBS.values() if job in (one.name, one.function)]
    if not named:
        name = job if isinstance(job, str) else name_of(job)
        raise LookupError(f"There is no job {name}: put @job() on a function of app/handlers/.")
    return named[0]


def checked(definition: Definition, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Raises TypeError: better where it is enqueued than where it runs."""
    try:
        inspect.signature(definition.function).bind(None, **arguments)
    except TypeError as error:
        raise TypeError(f"The job {definition.name}: {error}.") from None
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"The arguments of {definition.name} are no JSON: {error}.") from None
    return dict(arguments)


async def list_jobs(
    session: AsyncSession, *, state: State | None = None, name: str | None = None, limit: int = 50
) -> Sequence[Job]:
    """The newest first."""
    jobs = select(Job).order_by(Job.id.desc()).limit(limit)
    if state:
        jobs = jobs.where(Job.state == state)
    if name:
        jobs = jobs.where(Job.name == name)
    return (await session.scalars(jobs)).all()


async def get_job(session: AsyncSession, *, job_id: int) -> Job:
    """Raises NotFoundError."""
    job = await session.get(Job, job_id)
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return job


async def retry(session: AsyncSession, *, ids: Iterable[int]) -> list[int]:
    """Do what is finished once more: the ids for which that was so. A job whose unique key another
    one has by now is left alone."""
    done = []
    for job_id in ids:
        try:
            async with session.begin_nested():
                done += await queue.replay(session, Job, [job_id])
        except IntegrityError:
            continue
    enqueued(session, *((Job.__tablename__, job_id) for job_id in done))
    return done


async def cancel(session: AsyncSession, *, ids: Iterable[int]) -> list[int]:
    """What waits is not started. What runs cannot commit; what it did elsewhere stays."""
    return await queue.cancel(session, Job, ids)
