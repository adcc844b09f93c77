"""Jobs of a worker that is a process of its own: python -m tests.jobs.handlers worker"""

import asyncio
import sys
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
from app.db import Database
from app.jobs.registry import job
from tests.jobs.working import add, write_effect


@job(name="write_and_wait")
async def write_and_wait(session: AsyncSession, started: str, seconds: float) -> None:
    """The first time it waits after it wrote; then it only writes."""
    await write_effect(session)
    if is_first(Path(started)):
        await asyncio.sleep(seconds)


def is_first(file: Path) -> bool:
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


async def enqueue_waiting(database: Database, started: Path, *, seconds: float) -> int:
    """A job that makes the file, and then takes so long the first time."""
    arguments = {"started": str(started), "seconds": seconds}
    return await add(database, write_and_wait, arguments=arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
