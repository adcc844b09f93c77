"""Tasks that are kept in the database until they are done.

    @shared_task(base=Task, autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=5)
    def send_invoice(invoice_id: int) -> None: ...

    enqueue(send_invoice, invoice.pk, created_by=request.user, label="Invoice 17")
    send_invoice.delay(invoice.pk)

Both write a `Job` in the caller's transaction: rolled back, it never was. A task's body and its
success commit together, so what it does in the database happens exactly once, however often it
is delivered and whenever a worker dies. On SQLite that transaction keeps other writers waiting.
A long task is `atomic=False`: it commits in steps of its own, each safe to repeat, and reports
them with `self.advance(done, total)` (`bind=True`).
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import celery
import structlog
from celery.exceptions import Retry
from celery.result import AsyncResult
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.core.errors import DomainError, StorageError
from apps.jobs import services
from apps.jobs.leases import leases
from apps.jobs.models import Job

logger = structlog.get_logger(__name__)

# Of Celery's options the ledger keeps these; what beat adds only for its own records is left out.
KEPT_OPTIONS = {"queue", "exchange", "routing_key", "priority", "expires"}
DROPPED_OPTIONS = {"producer", "headers", "periodic_task_name", "ignore_result"}

AFTER_AN_INTERRUPTION = timedelta(seconds=1)

# SQLite has one writer. Threads that wait for it here get their turn without a time limit, and
# before they hold a lease.
_writer = threading.Lock()


class Task(celery.Task[..., Any]):
    """The base of all tasks. `atomic` says whether the body and its success are one transaction."""

    atomic: bool = True

    def apply_async(  # type: ignore[override]  # options that would be lost are refused
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Keep a job in the caller's transaction; a worker is told after the commit.

        Takes `created_by` and `label` besides Celery's `countdown`, `eta`, `expires`, `queue`,
        `priority`. Raises TypeError for options that would be lost, such as callbacks.
        """
        if task_id is not None and task_id == self.request.id:
            # Celery's retry() sends the task that runs once more: __call__ notes it in the ledger.
            return self.AsyncResult(task_id)
        job = _keep(self, args or (), kwargs or {}, task_id, **options)
        return self.AsyncResult(str(job.pk))

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """The same as `delay`, which waits for the commit, too."""
        return self.apply_async(args, kwargs)

    def apply_async_on_commit(self, *args: Any, **options: Any) -> AsyncResult[Any]:
        return self.apply_async(*args, **options)

    def advance(self, done: int, total: int) -> None:
        """Show progress at once, and stop (LeaseLostError) when another worker took the job over."""
        if self.atomic:
            raise RuntimeError(f"{self.name} is one transaction: progress needs atomic=False.")
        if self.request.id and not self.request.called_directly:
            services.advance(UUID(self.request.id), self.request.get("lease"), done, total)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a worker: run the job of the message, if it is still to be done."""
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        with _writer if self.atomic and connection.vendor == "sqlite" else nullcontext():
            job = services.claim(UUID(self.request.id))
            if job is None:
                logger.info("job_not_due", job=self.request.id, task=self.name)
                return None
            self.request.update(
                args=job.args, kwargs=job.kwargs, retries=job.retries, lease=job.token
            )
            with structlog.contextvars.bound_contextvars(job=str(job.pk)), leases.hold(job.token):
                return self._run(job)

    def _run(self, job: Job) -> Any:
        try:
            with transaction.atomic() if self.atomic else nullcontext():
                result = self.run(*job.args, **job.kwargs)
                services.succeed(job, result)
        except services.LeaseLostError:
            logger.warning("job_taken_over", task=self.name)
            return None
        except Retry as retry:
            again: Any = retry
            when: Any = again.when or 0
            if not isinstance(when, datetime):
                when = timezone.now() + timedelta(seconds=when)
            error = _told(again.exc) if again.exc else str(again)
            services.retry_later(job, when, error, again.sig.args, again.sig.kwargs)
            raise
        except OperationalError as error:
            # The database went away, or chose this transaction to end a deadlock.
            # Nothing of an atomic body is left, and steps may be repeated.
            if not services.lose(job, _told(error), AFTER_AN_INTERRUPTION):
                logger.warning("job_taken_over", task=self.name)
            return None
        # Whatever a body raises: the ledger has to know, and Celery gets it, too.
        except Exception as error:
            services.fail(job, _told(error))
            raise
        return result


def _told(error: BaseException) -> str:
    if isinstance(error, DomainError | StorageError):
        # Words for whoever waits for the job.
        return str(error)
    return f"{type(error).__name__}: {error}"


def _keep(
    task: celery.Task[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    task_id: str | None = None,
    *,
    created_by: Any = None,
    label: str = "",
    countdown: float | None = None,
    eta: datetime | None = None,
    **options: Any,
) -> Job:
    options = {
        name: value
        for name, value in options.items()
        if name not in DROPPED_OPTIONS and value is not None
    }
    if lost := set(options) - KEPT_OPTIONS:
        raise TypeError(f"A job does not keep {', '.join(sorted(lost))}.")
    # Wrong arguments are refused where they were written, not in a worker.
    check: Any = getattr(task, "__header__", None)
    if check and task.typing:
        check(*args, **kwargs)
    now = timezone.now()
    if isinstance(options.get("expires"), int | float):
        options["expires"] = now + timedelta(seconds=options["expires"])
    return services.keep(
        task.name,
        args,
        kwargs,
        pk=UUID(task_id) if task_id else uuid4(),
        run_at=eta or (now + timedelta(seconds=countdown) if countdown else None),
        options=options,
        created_by=created_by,
        label=label,
    )


def enqueue(
    task: celery.Task[..., Any],
    *args: Any,
    created_by: Any = None,
    label: str = "",
    **kwargs: Any,
) -> Job:
    """Keep a job in the caller's transaction and return it; a worker is told after the commit."""
    return _keep(task, args, kwargs, created_by=created_by, label=label)
