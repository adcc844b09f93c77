import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core import doctor
from apps.jobs.beat import Beat, Scheduler
from apps.jobs.models import Job
from apps.jobs.task import enqueue
from config.celery import app
from tests.jobs import tasks

WORKER = """
from django.conf import settings
settings.MIGRATION_MODULES = {"django_celery_beat": None}  # as in tests/settings.py
from config.celery import app
app.conf.imports = ["tests.jobs.tasks"]
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "worker"])
"""


@pytest.mark.django_db
def test_the_worker_runs_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def make(**options: Any) -> SimpleNamespace:
        given.update(options)
        return SimpleNamespace(start=lambda: None, exitcode=3)

    monkeypatch.setattr(app, "Worker", make)

    with pytest.raises(SystemExit, match="3"):
        call_command("worker", "--concurrency", "5")
    assert (given["pool"], given["concurrency"]) == ("threads", 5)


@pytest.mark.django_db
def test_beat_runs_with_schedules_from_the_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Beat, "run", lambda _: ran.append("beat"))

    call_command("beat")

    assert ran == ["beat"]
    assert app.conf.beat_scheduler == "apps.jobs.beat:Scheduler"


def test_beat_can_be_ended_while_it_is_still_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def interrupted(*_: Any, **__: Any) -> None:
        made.append("begun")
        signal.raise_signal(signal.SIGTERM)
        made.append("done")

    monkeypatch.setattr(Scheduler, "__init__", interrupted)
    monkeypatch.setattr(Beat, "setup_logging", lambda _: None)
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit):
            Beat(app=app, quiet=True).run()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

    assert made == ["begun"]


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_without_a_database_nothing_starts(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(app, "Worker", start)
    monkeypatch.setattr(Beat, "run", start)
    monkeypatch.setattr(doctor, "why_unreachable", lambda: "connection refused")

    with pytest.raises(CommandError, match=r"^The database does not answer: connection refused$"):
        call_command(command)


def url_of(database: dict[str, Any]) -> str:
    if "sqlite" in database["ENGINE"]:
        return f"sqlite:///{database['NAME']}"
    person = f"{quote(database['USER'])}:{quote(database['PASSWORD'])}"
    options = {name: value for name, value in database["OPTIONS"].items() if name == "host"}
    server = f"{database['HOST']}:{database['PORT']}".removesuffix(":")
    return f"postgresql://{person}@{server}/{database['NAME']}?{urlencode(options)}"


@contextmanager
def a_worker(log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "APP_DATABASE_URL": url_of(connection.settings_dict),
        "APP_BROKER_URL": os.environ.get("TEST_BROKER_URL", ""),
        "APP_JOB_LEASE": "0.6",
        "APP_LOG_LEVEL": "info",
        "APP_SHUTDOWN_TIMEOUT": "1",
    }
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-c", WORKER], env=environment, stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(true: Any, *logs: Path) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "\n".join(log.read_text() for log in logs)
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
@pytest.mark.django_db(transaction=True)
def test_a_task_whose_worker_is_killed_takes_effect_exactly_once(tmp_path: Path) -> None:
    """With the broker that TEST_BROKER_URL names, else with the embedded one."""
    print("broker:", "TEST_BROKER_URL" if "TEST_BROKER_URL" in os.environ else "embedded")
    trace, logs = tmp_path / "trace", [tmp_path / "one.log", tmp_path / "two.log"]
    job = enqueue(tasks.found_slowly, "chess", 1.5, str(trace))
    with ExitStack() as stack:
        workers = [stack.enter_context(a_worker(log)) for log in logs]
        until(trace.exists, *logs)
        until(lambda: trace.read_text().endswith("\n"), *logs)
        first = int(trace.read_text().split()[0])
        os.kill(first, signal.SIGKILL)
        assert not Group.objects.exists()

        until(lambda: Job.objects.get().state == Job.State.SUCCEEDED, *logs)

        assert Group.objects.count() == 1
        attempts = Job.objects.get(pk=job.pk).attempts
        # More than two when the machine is so busy that a living worker loses its lease.
        assert len(trace.read_text().splitlines()) == attempts >= 2
        (other,) = (worker for worker in workers if worker.pid != first)
        other.terminate()
        assert other.wait(60) == 0
