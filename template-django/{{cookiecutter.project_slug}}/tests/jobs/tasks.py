"""Tasks for tests. Their effects are groups of users, which every project has."""

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from celery import shared_task
from django.contrib.auth.models import Group
from django.db import OperationalError, transaction

from apps.jobs.task import Task, enqueue


@shared_task(base=Task)
def found(name: str) -> str:
    Group.objects.create(name=name)
    return f"founded {name}"


@shared_task(base=Task)
def found_and_fail(name: str) -> None:
    Group.objects.create(name=name)
    raise ValueError("no more groups")


@shared_task(base=Task)
def found_two(name: str) -> None:
    found.delay_on_commit(f"{name} 1")
    enqueue(found, f"{name} 2")


@shared_task(base=Task, autoretry_for=(ConnectionError,), retry_backoff=8, max_retries=2)
def call(answers: str) -> None:
    """Needs an empty file to succeed; each attempt takes a line from it."""
    path = Path(answers)
    Group.objects.create(name=f"called {path.stat().st_size}")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]))
    if lines:
        raise ConnectionError(lines[0])


@shared_task(base=Task, bind=True)
def call_another(self: Task, host: str) -> str:
    if host == "first":
        raise self.retry(args=("second",), countdown=60)
    return host


@shared_task(base=Task, bind=True)
def advance_anyway(self: Task) -> None:
    self.advance(1, 2)


@shared_task(base=Task, bind=True, atomic=False)
def found_in_steps(self: Task, name: str, steps: int) -> None:
    for step in range(steps):
        with transaction.atomic():
            Group.objects.get_or_create(name=f"{name} {step}")
        self.advance(step + 1, steps)


# What happens in the middle of `meanwhile`: a test puts it there.
happenings: list[Callable[[], object]] = []


@shared_task(base=Task)
def meanwhile(name: str) -> None:
    Group.objects.create(name=name)
    happenings.pop()()


@shared_task(base=Task, bind=True, atomic=False)
def meanwhile_in_steps(self: Task, name: str) -> None:
    happenings.pop()()
    self.advance(1, 2)
    Group.objects.create(name=name)


@shared_task(base=Task)
def interrupted() -> None:
    raise OperationalError("deadlock detected")


@shared_task(base=Task)
def year_of(day: date) -> int:
    return day.year


@shared_task(base=Task)
def found_slowly(name: str, seconds: float, trace: str) -> None:
    """Leaves its process id in the file `trace` when it begins."""
    Group.objects.create(name=name)
    with Path(trace).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
