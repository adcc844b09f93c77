from collections.abc import Iterator
from typing import Literal

from app.db import Database
from app.jobs import queue
from app.jobs.registry import KINDS, RegistrationError, load_handlers
from app.settings import Settings

LONG = 60  # seconds


def check_handlers() -> list[tuple[Literal["problem"], str]]:
    try:
        load_handlers()
    except RegistrationError as error:
        return [("problem", f"In app/handlers/: {error}")]
    return []


async def check_work(settings: Settings) -> list[tuple[Literal["ok", "warning"], str]]:
    """For `just doctor`."""
    load_handlers()
    database = Database(settings)
    try:
        async with database.readers() as session:
            counts = [
                (table, await queue.counts(session, kind.model)) for table, kind in KINDS.items()
            ]
    finally:
        await database.close()
    found = [sentence for table, count in counts for sentence in trouble(table, count)]
    return [("warning", sentence) for sentence in found] or [("ok", "No work is dead or late.")]


def trouble(table: str, count: queue.Counts) -> Iterator[str]:
    if count.dead:
        yield f"In {table}, {count.dead} are dead: look at their errors, then try them again."
    if count.oldest > LONG:
        yield f"In {table}, the oldest waits for {count.oldest:.0f} s: does a worker run?"
