"""Faults of workers and brokers, brought about for real in a generated Django project, and what became of its jobs."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proof.brokers import Broker
from proof.processes import kill, run, start

Figures = dict[str, float]
LONGEST_WAIT = 15  # seconds from when a broker is back to when the work goes on

# An app of our own beside the project's: what a job did can be counted, and how often it began.
PROBE: Mapping[str, str] = {
    "__init__.py": "",
    "settings.py": """
from config.settings import *

INSTALLED_APPS += ["probe"]
""",
    "models.py": """
from django.db import models


class Effect(models.Model):
    # Not unique: what is done twice is to be seen twice.
    key = models.CharField(max_length=50)
    step = models.IntegerField(default=0)
""",
    "tasks.py": """
import time
from pathlib import Path

from celery import shared_task
from django.db import transaction

from apps.jobs.task import Task
from probe.models import Effect


@shared_task(base=Task)
def act(key: str, seconds: float = 0) -> None:
    Effect.objects.create(key=key)
    with Path(f"{key}.began").open("a") as file:
        file.write("x")
    time.sleep(seconds)


@shared_task(base=Task, bind=True, atomic=False)
def act_in_steps(self: Task, key: str, steps: int, seconds: float) -> None:
    for step in range(steps):
        with transaction.atomic():
            Effect.objects.get_or_create(key=key, step=step)
        self.advance(step + 1, steps)
        with Path(f"{key}.began").open("a") as file:
            file.write("x")
        time.sleep(seconds)
""",
    # Stands for the web process: one process that stays, told what to do line by line.
    "web.py": """
import json
import sys
import time

import django

django.setup()

from django.db import transaction
from django.db.models import Count

from apps.jobs.models import Job
from apps.jobs.sending import send
from apps.jobs.task import enqueue
from probe.models import Effect
from probe.tasks import act, act_in_steps


def act_(key, seconds=0):
    with transaction.atomic():
        return str(enqueue(act, key, seconds, label=key).pk)


def many(key, count):
    for number in range(count):
        act_(f"{key}{number}")


def in_steps(key, steps, seconds):
    return str(enqueue(act_in_steps, key, steps, seconds).pk)


def rolled_back(key):
    try:
        with transaction.atomic():
            act.delay(key)
            raise KeyError(key)
    except KeyError:
        return Job.objects.filter(label=key).count()


def send_again(pk, times):
    for _ in range(times):
        send(Job.objects.get(pk=pk))


def effects(key):
    return Effect.objects.filter(key__startswith=key).count()


def jobs():
    return {row["state"]: row["n"] for row in Job.objects.order_by().values("state").annotate(n=Count("pk"))}


def job(pk):
    return Job.objects.values("state", "attempts", "error", "progress_done").get(pk=pk)


for line in sys.stdin:
    name, arguments = json.loads(line)
    began = time.monotonic()
    answer = globals()[name](*arguments)
    # On a line of its own, also where another thread has written half of one to the log; in one piece, since print
    # writes each argument by itself and lets others in between.
    sys.stdout.write(f"\\nANSWER {json.dumps([answer, time.monotonic() - began])}\\n")
    sys.stdout.flush()
""",
}


class Web:
    """The process that asks for jobs. `ask` returns the answer; `seconds` says how long it took there."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.seconds = 0.0

    def ask(self, name: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                answer, self.seconds = json.loads(line.removeprefix("ANSWER "))
                return answer
            said.append(line)
        raise AssertionError(f"the web process ended:\n{''.join(said)}")


@dataclass
class Subject:
    """A generated project, installed and migrated, with the probe in it. Times are seconds."""

    project: Path
    environment: Mapping[str, str]
    lease: float
    _logs: list[Path] = field(default_factory=list)

    @property
    def python(self) -> str:
        # Not through uv: a signal has to reach the worker itself.
        folder = self.project / ".venv"
        return str(next(path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists()))

    @contextlib.contextmanager
    def worker(self) -> Iterator["subprocess.Popen[str]"]:
        log = self.project / f"worker{len(self._logs)}.log"
        self._logs.append(log)
        with log.open("w", encoding="utf-8") as file:
            command = (self.python, "manage.py", "worker")
            process = start(command, self.project, self.environment, file.fileno())
        try:
            yield process
        finally:
            kill(process)

    @contextlib.contextmanager
    def web(self) -> Iterator[Web]:
        process = subprocess.Popen(
            [self.python, "-m", "probe.web"],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        try:
            yield Web(process)
        finally:
            process.kill()
            process.communicate()

    def until(self, what: str, true: Callable[[], object], patience: float) -> float:
        """Wait, and return how long it took."""
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > patience:
                raise AssertionError(f"not within {patience:.0f} s: {what}\n{self.said()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def began(self, key: str) -> int:
        file = self.project / f"{key}.began"
        return len(file.read_text("utf-8")) if file.exists() else 0

    def said(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text('utf-8')[-3000:]}" for log in self._logs[-2:])


def add_probe(project: Path) -> None:
    """Put our own app into a project that is installed."""
    folder = project / "probe"
    folder.mkdir()
    for name, text in PROBE.items():
        (folder / name).write_text(text.lstrip("\n"), encoding="utf-8")


def prepare(
    project: Path, environment: Mapping[str, str], broker_url: str, database_url: str, lease: float = 10
) -> Subject:
    """A project with the probe in it, at its beginning: an empty database with all tables."""
    for trace in [*project.glob("*.began"), *project.glob("worker*.log")]:
        trace.unlink()
    ours = {
        "DJANGO_SETTINGS_MODULE": "probe.settings",
        "APP_ENV_FILE": "",
        "APP_ENVIRONMENT": "development",
        "APP_DATABASE_URL": database_url,
        "APP_BROKER_URL": broker_url,
        "APP_JOB_LEASE": str(lease),
    }
    subject = Subject(project, {**environment, **ours}, lease)
    tables = "from django.core.management import call_command as run; run('migrate', run_syncdb=True, verbosity=0)"
    run([subject.python, "-c", f"import django; django.setup(); {tables}"], project, subject.environment)
    return subject


def kill_in_mid_task(subject: Subject) -> Figures:
    """kill -9 while a transaction and a task in steps are half done, then a new worker."""
    with subject.web() as web:
        steps = web.ask("in_steps", "stepping", 6, 0.5)
        with subject.worker():
            subject.until("two steps are done", lambda: subject.began("stepping") > 1, 30)
            # Second: on SQLite a transaction keeps the steps waiting.
            one = web.ask("act_", "killed", 3)
            subject.until("the other began", lambda: subject.began("killed"), 30)
        # The worker was killed with its block.
        assert web.ask("effects", "killed") == 0, "half a transaction was committed"
        killed = time.monotonic()
        with subject.worker():
            patience = 2 * subject.lease + 30
            subject.until("the killed job's effect", lambda: web.ask("effects", "killed"), patience)
            effect = time.monotonic() - killed
            subject.until("both jobs are done", lambda: web.ask("jobs") == {"succeeded": 2}, patience)
            time.sleep(2)
            assert (web.ask("effects", "killed"), web.ask("effects", "stepping")) == (1, 6)
        assert subject.began("killed") == 2
        assert web.ask("job", one)["attempts"] == web.ask("job", steps)["attempts"] == 2
    return {"kill -9 to effect": effect}


def long_bodies_and_short_leases(subject: Subject) -> Figures:
    """Two workers; transactions that take longer than a lease are neither lost nor done twice."""
    with subject.web() as web, subject.worker(), subject.worker():
        for number in range(3):
            web.ask("act_", f"long{number}", subject.lease * 1.5)
        took = subject.until("all are done", lambda: web.ask("effects", "long") == 3, 60 + 10 * subject.lease)
        time.sleep(2)
        assert web.ask("effects", "long") == 3
        assert [subject.began(f"long{number}") for number in range(3)] == [1, 1, 1]
    return {"three long bodies": took}


def duplicate_delivery(subject: Subject) -> Figures:
    """The same message again and again, to two workers, while the job runs and when it is done."""
    with subject.web() as web, subject.worker(), subject.worker():
        pk = web.ask("act_", "twice", 1.5)
        web.ask("send_again", pk, 5)
        subject.until("it began", lambda: subject.began("twice"), 30)
        web.ask("send_again", pk, 5)
        subject.until("it is done", lambda: web.ask("job", pk)["state"] == "succeeded", 30)
        web.ask("send_again", pk, 5)
        web.ask("act_", "afterwards")
        took = subject.until("what was sent later is done", lambda: web.ask("effects", "afterwards"), 30)
        time.sleep(1)
        assert web.ask("effects", "twice") == subject.began("twice") == web.ask("job", pk)["attempts"] == 1
    return {"send to effect": took}


def commit_rolled_back(subject: Subject) -> Figures:
    """No commit, no job: neither in the ledger nor on the way."""
    with subject.web() as web, subject.worker():
        web.ask("act_", "warm")
        subject.until("the worker works", lambda: web.ask("effects", "warm"), 30)
        before = web.ask("jobs")
        assert web.ask("rolled_back", "never") == 0
        time.sleep(2)
        assert web.ask("jobs") == before
        assert (web.ask("effects", "never"), subject.began("never")) == (0, 0)
    return {}


def many_jobs(subject: Subject, count: int = 200) -> Figures:
    with subject.web() as web:
        web.ask("many", "some", count)
        cost = web.seconds / count
        with subject.worker():
            subject.until("the first", lambda: web.ask("effects", "some"), 30)
            began, already = time.monotonic(), web.ask("effects", "some")
            subject.until("all", lambda: web.ask("effects", "some") == count, 120)
            rate = (count - already) / (time.monotonic() - began)
            assert web.ask("jobs") == {"succeeded": count}
    return {"enqueue, ms": cost * 1000, "jobs a second": rate}


def broker_restarted(subject: Subject, broker: Broker) -> Figures:
    """The broker loses everything it had: first with no worker there, then below a worker and a web process."""
    with subject.web() as web:
        web.ask("many", "kept", 5)
        broker.stop()
        broker.empty()
        broker.start()
        with subject.worker():
            patience = 2 * subject.lease + 30
            took = subject.until("jobs from before", lambda: web.ask("effects", "kept") == 5, patience)
            web.ask("act_", "running", 4)
            subject.until("it began", lambda: subject.began("running"), 30)
            broker.stop()
            broker.empty()
            broker.start()
            web.ask("many", "new", 5)
            again = subject.until("jobs from after", lambda: web.ask("effects", "new") == 5, patience)
            subject.until("the one that ran", lambda: web.ask("effects", "running"), patience)
            time.sleep(2)
            assert [web.ask("effects", key) for key in ("kept", "running", "new")] == [5, 1, 5]
            assert subject.began("running") == 1
    return {"emptied broker to effects": took, "restarted below a worker to effects": again}


def broker_down(subject: Subject, broker: Broker) -> Figures:
    """The web process is neither refused nor held up, and what it asked for is done later."""
    with subject.web() as web, subject.worker():
        web.ask("act_", "before")
        subject.until("the worker works", lambda: web.ask("effects", "before"), 30)
        broker.freeze()
        web.ask("act_", "frozen")
        frozen = web.seconds
        broker.thaw()
        broker.stop()
        time.sleep(6)  # sending.PAUSE is over: it has to try again
        web.ask("act_", "down0")
        down = web.seconds
        web.ask("act_", "down1")
        paused = web.seconds
        assert web.ask("effects", "down") == 0
        # So long that what is sent more and more rarely would have to wait for as long again.
        time.sleep(8 * subject.lease)
        broker.start()
        took = subject.until("what was kept is done", lambda: web.ask("effects", "down") == 2, 60)
        subject.until("this, too", lambda: web.ask("effects", "frozen"), 60)
        time.sleep(1)
        assert web.ask("effects", "down") == 2
        assert web.ask("effects", "frozen") == 1
    assert took < LONGEST_WAIT, f"the broker was back for {took:.1f} s before its work went on"
    slowest = max(frozen, down, paused)
    assert slowest < 1, f"a web request waited {slowest:.1f} s for the broker"
    return {"enqueue, broker frozen": frozen, "enqueue, broker down": down, "broker back to effects": took}
