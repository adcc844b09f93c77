"""What can be done: kinds of work, jobs and schedules, each by its name."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages
from typing import TypeVar

from cronsim import CronSim, CronSimError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs.models import MAX_ATTEMPTS, Job, State, Work
from app.jobs.queue import Claimed

HANDLERS = "app.handlers"

Function = Callable[..., Awaitable[None]]
AnyFunction = TypeVar("AnyFunction", bound=Function)


class GiveUpError(Exception):
    """Raised by a job that need not be tried again: it is dead at once."""


class RegistrationError(ValueError):
    """What stands in app/handlers/ cannot be meant so."""


class RetryError(Exception):
    """Raised by a job that says itself when it is tried again."""

    def __init__(self, reason: str, *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class Kind:
    """A table of work and how one of its rows is done, in the session's transaction: returns the
    state that the row ends in."""

    model: type[Work]
    run: Callable[[AsyncSession, Claimed], Awaitable[State]]
    name: Callable[[Claimed], str]
    # Of a worker's handlers: what waits for others must not keep the rest waiting.
    share: float = 1


@dataclass(frozen=True)
class Definition:
    name: str
    function: Function
    max_attempts: int


# By the table's name, the job's name, and the name of the job that recurs.
KINDS: dict[str, Kind] = {}
JOBS: dict[str, Definition] = {}
CRONS: dict[str, str] = {}


def register(kind: Kind) -> None:
    KINDS[kind.model.__tablename__] = kind


def job(
    *, name: str | None = None, max_attempts: int = MAX_ATTEMPTS
) -> Callable[[AnyFunction], AnyFunction]:
    """The function below can be enqueued. It is called with a session and the arguments, and what it
    writes is committed together with the job's end. A name of its own survives renaming."""

    def decorate(function: AnyFunction) -> AnyFunction:
        asynchronous = inspect.iscoroutinefunction(function)
        if not asynchronous:
            raise RegistrationError(
                f"The job {name_of(function)} is no async function: write `async def`."
            )
        known = JOBS.get(own := name or name_of(function))
        if known and name_of(known.function) != name_of(function):
            raise RegistrationError(f"Two jobs have the name {own}: give one of them another name.")
        JOBS[own] = Definition(own, function, max_attempts)
        return function

    return decorate


def every(
    cron: str, *, name: str | None = None, max_attempts: int = MAX_ATTEMPTS
) -> Callable[[AnyFunction], AnyFunction]:
    """The function below is a job that recurs: minute, hour, day, month and weekday, in UTC.

    However many processes there are, it is enqueued once each time; once after a time in which none
    ran, and not while it waits or runs.
    """
    try:
        CronSim(cron, now())
    except CronSimError:
        raise RegistrationError(f"{cron!r} is no schedule: write it like `*/5 * * * *`.") from None

    def decorate(function: AnyFunction) -> AnyFunction:
        function = job(name=name, max_attempts=max_attempts)(function)
        CRONS[name or name_of(function)] = cron
        return function

    return decorate


def name_of(function: Function) -> str:
    module = function.__module__.removeprefix(f"{HANDLERS}.")
    return f"{module}.{function.__qualname__}"


def load_handlers() -> None:
    """Import all of `app/handlers/`, so that what it registers is known."""
    import_module("app.jobs.retention")
{% if cookiecutter.webhooks %}
    import_module("app.webhooks.retention")
    import_module("app.webhooks.handlers")
{% endif %}
{% if cookiecutter.outbox %}
    import_module("app.outbox.delivery")
    import_module("app.outbox.retention")
{% endif %}
    if find_spec(HANDLERS) is not None:
        package = import_module(HANDLERS)
        for module in walk_packages(package.__path__, f"{HANDLERS}."):
            import_module(module.name)


async def run_job(session: AsyncSession, row: Claimed) -> State:
    if row.name not in JOBS:
        # A newer version may have enqueued it, and knows it.
        raise LookupError(f"There is no job {row.name} in this version.")
    await JOBS[row.name].function(session, **row.arguments)
    return State.DONE


register(Kind(Job, run_job, name=lambda row: str(row.name)))
