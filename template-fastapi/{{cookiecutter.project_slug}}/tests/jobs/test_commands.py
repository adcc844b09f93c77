import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
from app.db import Database, now
from app.jobs import queue
from app.jobs.models import Job
from app.jobs.registry import job
from app.settings import Settings
from tests.jobs.working import add


@pytest.fixture
def machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: Settings, database: Database
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_DATABASE_URL", quick.database_url.get_secret_value())


@pytest.fixture
async def dead(database: Database) -> int:
    @job(name="mails.send")
    async def send(session: AsyncSession, to: str) -> None: ...

    job_id = await add(database, send, arguments={"to": "ann"}, unique_key="ann")
    async with database.transactions.begin() as session:
        [row] = await queue.claim(session, Job, limit=1, lease=timedelta(seconds=60))
        await queue.fail(session, Job, row, ValueError("No such address."), final=True)
    return job_id


@pytest.fixture
def say(machine: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command says. It has a thread of its own, since it runs a loop of its own."""

    def run(*arguments: str) -> str:
        main(list(arguments))
        return capsys.readouterr().out

    return run


async def test_a_dead_job_is_listed_shown_retried_and_cancelled(
    dead: int, say: Callable[..., str]
) -> None:
    async def said(*arguments: object) -> str:
        return await asyncio.to_thread(say, *map(str, arguments))

    listed = await said("job-list", "--state", "dead", "--name", "mails.send")
    assert re.search(rf"^{dead} +dead +1 +20.* mails.send +ValueError: No such", listed, re.M)
    assert "mails" not in await said("job-list", "--state", "done")
    shown = await said("job-show", dead)
    assert re.search(r'^arguments +{"to": "ann"}$', shown, re.M)
    assert re.search(r"^attempts +1 of 15$", shown, re.M)
    assert "order key" not in shown

    assert await said("job-retry", dead) == f"Jobs {dead} run once more.\n"
    with pytest.raises(SystemExit, match=f"Jobs {dead} are not finished"):
        await said("job-retry", dead)
    assert await said("job-cancel", dead, 999_999_999) == (
        f"Jobs {dead} are cancelled. Jobs 999999999 do not wait or run, or there are none.\n"
    )
    with pytest.raises(SystemExit, match="There is no job 999999999"):
        await said("job-show", 999_999_999)


async def test_old_jobs_are_purged_dead_ones_only_when_asked(
    database: Database, dead: int, say: Callable[..., str]
) -> None:
    async with database.transactions.begin() as session:
        await session.execute(update(Job).values(finished_at=now() - timedelta(days=8)))

    async def purged(*options: str) -> str:
        said = await asyncio.to_thread(say, "job-purge", "--days", *options)
        return said.split(" that")[0]

    assert await purged("7") == "Deleted 0 jobs"
    assert await purged("9", "--dead") == "Deleted 0 jobs"
    assert await purged("7", "--dead") == "Deleted 1 jobs"
