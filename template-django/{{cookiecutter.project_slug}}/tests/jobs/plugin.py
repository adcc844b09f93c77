"""Jobs in tests are kept and not sent: `run_jobs()` runs them, in the test's own process."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from celery import current_app
from django.db.models import QuerySet
from django.utils import timezone

from apps.jobs.leases import Leases
from apps.jobs.models import Job

RunJobs = Callable[..., list[Job]]


def run_job(pk: UUID | str) -> Job:
    """What a worker does with a message. What the task raises stands in the ledger."""
    task = current_app.tasks[Job.objects.get(pk=pk).name]
    task.push_request(id=str(pk), called_directly=False)
    try:
        with suppress(Exception):
            task()
    finally:
        task.pop_request()
    return Job.objects.get(pk=pk)


@pytest.fixture(scope="session", autouse=True)
def nothing_renewed() -> Iterator[None]:
    """Jobs of tests end before their leases do. The thread that renews leases would have a
    connection of its own: it sees nothing of a test's transaction, and waits for its locks.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leases, "_renew", lambda _: None)
        yield


@pytest.fixture
def run_jobs() -> RunJobs:
    """Runs every queued job, also those that jobs add, and returns them.

    `run_jobs(later=True)` does not wait for the time of jobs that are to run later, retries too.
    Without it each runs once: how long a retry waits is chosen by chance, and may be no time.
    """

    def run(*, later: bool = False) -> list[Job]:
        ran: list[Job] = []
        queued = Job.objects.filter(state=Job.State.QUEUED).order_by("run_at")

        def due() -> QuerySet[Job]:
            once = queued.exclude(pk__in=[job.pk for job in ran])
            return queued if later else once.filter(run_at__lte=timezone.now())

        while job := due().first():
            Job.objects.filter(pk=job.pk, run_at__gt=timezone.now()).update(run_at=timezone.now())
            ran.append(run_job(job.pk))
        return ran

    return run
