"""Processes killed under load, in generated FastAPI projects: a short part of `make faults`."""

import asyncio
import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proof.faults import NotProved
from proof.faults.webhooks import FAULTS, Row, Subject, bring_about, installed

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")

Install = Callable[[str, str], Subject]


@pytest.fixture(scope="module")
def install(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """A project with this database and broker, which may be spoiled."""
    with contextlib.ExitStack() as stack:

        def install(database: str, broker: str) -> Subject:
            folder = tmp_path_factory.mktemp(broker)
            folder.chmod(0o755)  # PostgreSQL may run as another user
            try:
                return stack.enter_context(installed(template, folder / "subject", database, broker))
            except NotProved as error:
                sentence = f"NOT PROVED with {broker}: {error}"
                warnings.warn(sentence, stacklevel=1)
                pytest.skip(sentence)

        yield install


def happen(name: str, subject: Subject, rounds: int = 2) -> Row:
    row = asyncio.run(bring_about(FAULTS[name], subject, rounds=rounds, seed="the same each time", say=print))
    print(row)
    return row


def edit(subject: Subject, path: str, old: str, new: str) -> None:
    file = subject.project / path
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("database", "broker"), [("sqlite", "embedded"), ("postgresql", "embedded"), ("postgresql", "redis")]
)
def test_what_is_killed_loses_doubles_and_halves_nothing(install: Install, database: str, broker: str) -> None:
    subject = install(database, broker)
    for name in ("kill-web", "kill-worker"):
        row = happen(name, subject)
        assert not row.wrong, f"{name}: {row.wrong}"
        assert row.outcome.acknowledged > 20


def test_a_service_that_answers_before_it_has_kept_the_event_is_found_out(install: Install) -> None:
    subject = install("sqlite", "embedded")
    edit(
        subject,
        "app/webhooks/intake.py",
        "    async def keep(\n",
        """\
    async def keep(self, *event: Any, **more: Any) -> None:
        def late() -> None:
            asyncio.ensure_future(self.keep_it(*event, **more))

        asyncio.get_running_loop().call_later(0.2, late)

    async def keep_it(
""",
    )
    row = happen("kill-web", subject)

    assert row.outcome.lost
    assert any("were acknowledged and had no effect" in sentence for sentence in row.wrong)


def test_a_worker_that_commits_after_its_lease_was_taken_is_found_out(install: Install) -> None:
    subject = install("postgresql", "embedded")
    check = 'table.c.lease == bindparam("row_lease")'
    edit(subject, "app/jobs/queue.py", check, f"or_(literal(1) == 1, {check})")
    # Else it depends on the moment whether a handler is ended before it commits.
    edit(subject, "app/jobs/worker.py", "                one.task.cancel()\n", "")

    row = happen("freeze-worker", subject, rounds=12)

    assert row.outcome.doubled
    assert any("had more than one effect" in sentence for sentence in row.wrong)
