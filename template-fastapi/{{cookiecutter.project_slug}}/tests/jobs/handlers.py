"""Jobs of a worker that is a process of its own: python -m tests.jobs.handlers"""

import asyncio
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
from app.jobs.registry import job
from tests.jobs.working import write_effect


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


if __name__ == "__main__":
    main(["worker"])
