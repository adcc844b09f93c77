"""Whether the database answers, asked past the pool, which would say only that it has no connection."""

from typing import Any

from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

# What PostgreSQL says when it has as many connections as it takes.
FULL = ("too many clients", "remaining connection slots", "too many connections")


def why_unreachable(
    database: dict[str, Any] | None = None, *, within: int | None = None
) -> str | None:
    """One line that says why the database does not answer (within so many seconds), or None when
    it does.
    """
    fresh = connection_to(database or connection.settings_dict, within)
    try:
        with fresh.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return one_line(error)
    finally:
        fresh.close()
    return None


def connection_to(database: dict[str, Any], within: int | None = None) -> BaseDatabaseWrapper:
    options = {name: value for name, value in database["OPTIONS"].items() if name != "pool"}
    if within and "connect_timeout" in options:
        options["connect_timeout"] = within
    complete = connection.settings_dict | database | {"OPTIONS": options}
    wrapper: BaseDatabaseWrapper = load_backend(complete["ENGINE"]).DatabaseWrapper(complete, "own")
    return wrapper


def is_busy() -> bool:
    """The pool had no connection in time: because all are in use, or because none can be made?"""
    reason = why_unreachable(within=2)
    return reason is None or any(text in reason for text in FULL)


def one_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
