"""What can happen to a job. Each step is one conditional UPDATE, so of two processes that try it
one succeeds. Times are the workers' clocks: a wrong clock makes work late or done in vain, never
twice, because only the lease decides who may write.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.jobs import sending
from apps.jobs.models import Job

LONGEST_TEXT = 10_000  # characters of an error or a result
PURGE_AT_ONCE = 1_000  # jobs: short transactions, other writers get their turn
AT_ONCE = timedelta()


class LeaseLostError(Exception):
    """Another worker may have the job by now: what this one did must not be committed."""


def lease_time() -> timedelta:
    return timedelta(seconds=settings.JOB_LEASE)


def keep(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    pk: UUID,
    run_at: datetime | None,
    options: Mapping[str, Any],
    created_by: Any,
    label: str,
) -> Job:
    """Write a job in the caller's transaction, and tell a worker after the commit."""
    now = timezone.now()
    job = Job(id=pk, name=name, args=list(args), kwargs=dict(kwargs), options=dict(options))
    job.label = label[:255]
    job.created_by = created_by if getattr(created_by, "pk", None) else None
    job.run_at = run_at or now
    job.due_at = job.run_at
    sent_at_once = job.run_at <= now and not sending.is_embedded()
    if sent_at_once:
        job.sends = 1
        job.due_at = now + lease_time()
    with transaction.atomic():
        job.save(force_insert=True)
        transaction.on_commit(lambda: sending.send(job) if sent_at_once else sending.announce())
    return job


def claim(pk: UUID) -> Job | None:
    """Take a queued job for this worker; None when there is nothing to do (any more, or yet)."""
    now = timezone.now()
    lease = uuid4()
    claimed = Job.objects.filter(pk=pk, state=Job.State.QUEUED, run_at__lte=now).update(
        state=Job.State.RUNNING,
        lease=lease,
        attempts=F("attempts") + 1,
        started_at=now,
        finished_at=None,
        due_at=now + lease_time(),
    )
    if not claimed:
        return None
    job = Job.objects.get(pk=pk)
    expires: datetime | None = job.options.get("expires")
    if expires and expires < now:
        fail(job, "It expired before a worker was free.")
        return None
    return job


def renew(tokens: Collection[UUID]) -> int:
    """Keep the jobs with these leases from being given to others."""
    return Job.objects.filter(lease__in=tokens, state=Job.State.RUNNING).update(
        due_at=timezone.now() + lease_time()
    )


def advance(pk: UUID, lease: UUID, done: int, total: int) -> None:
    """Raises LeaseLostError when the job is no longer this worker's."""
    if not _held(pk, lease).update(progress_done=done, progress_total=total):
        raise LeaseLostError


def succeed(job: Job, result: object) -> None:
    """In the transaction of the task's effects. Raises LeaseLostError, which rolls them back."""
    text = "" if result is None else str(result)[:LONGEST_TEXT]
    _end(job, state=Job.State.SUCCEEDED, result=text, error="")


def fail(job: Job, error: str) -> None:
    """Raises LeaseLostError."""
    _end(job, state=Job.State.FAILED, error=error[:LONGEST_TEXT])


def _end(job: Job, **outcome: Any) -> None:
    now = timezone.now()
    if not _held(job.pk, job.lease).update(finished_at=now, due_at=None, lease=None, **outcome):
        raise LeaseLostError


def retry_later(
    job: Job, when: datetime, error: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Queue the job again, as the task asked. Raises LeaseLostError."""
    again = {"args": list(args), "kwargs": dict(kwargs), "retries": F("retries") + 1}
    if not _requeue(_held(job.pk, job.lease), when, error, **again):
        raise LeaseLostError


def lose(job: Job, error: str, wait: timedelta = AT_ONCE) -> bool:
    """Queue again what ended without an outcome, or fail it when that happened too often.

    Returns False when another worker has the job by now.
    """
    held = _held(job.pk, job.lease)
    if job.losses >= settings.JOB_MOST_LOSSES:
        return bool(
            held.update(
                state=Job.State.FAILED,
                finished_at=timezone.now(),
                due_at=None,
                lease=None,
                error=f"{error} That happened {job.losses} times.",
            )
        )
    return bool(_requeue(held, timezone.now() + wait, error))


def _held(pk: UUID, lease: UUID | None) -> Any:
    return Job.objects.filter(pk=pk, lease=lease, state=Job.State.RUNNING)


def _requeue(jobs: Any, when: datetime, error: str, **more: Any) -> int:
    changed: int = jobs.update(
        state=Job.State.QUEUED,
        lease=None,
        run_at=when,
        due_at=when,
        sends=0,
        error=error[:LONGEST_TEXT],
        **more,
    )
    return changed


def send_again() -> int:
    """A broker may have lost what it had: have everything sent that no worker has begun."""
    now = timezone.now()
    sent = Job.objects.filter(state=Job.State.QUEUED, run_at__lte=now, due_at__gt=now)
    return sent.update(due_at=now, sends=1)


@transaction.atomic
def run_again(pks: Iterable[UUID]) -> int:
    """Queue finished jobs once more, as if they were new; return how many."""
    now = timezone.now()
    count = (
        Job.objects.finished()
        .filter(pk__in=list(pks))
        .update(
            state=Job.State.QUEUED,
            attempts=0,
            retries=0,
            sends=0,
            progress_done=0,
            progress_total=0,
            result="",
            error="",
            run_at=now,
            due_at=now,
            started_at=None,
            finished_at=None,
        )
    )
    transaction.on_commit(sending.announce)
    return count


def purge(older_than: datetime) -> int:
    """Delete jobs that finished before; return how many."""
    count = 0
    while True:
        old = Job.objects.finished().filter(finished_at__lt=older_than)
        pks = list(old.values_list("pk", flat=True)[:PURGE_AT_ONCE])
        if not pks:
            return count
        count += Job.objects.filter(pk__in=pks).delete()[0]
