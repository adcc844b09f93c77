"""A thread in each worker that recovers lost jobs. With the embedded broker it also is what takes
jobs from the ledger. Any number of workers may sweep at the same time.
"""

import os
import threading
import time
from typing import Any

import structlog
from celery import signals
from celery.worker import state
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Q
from django.utils import timezone

from apps.jobs import sending, services
from apps.jobs.leases import leases
from apps.jobs.models import Job
from apps.jobs.sending import news

logger = structlog.get_logger(__name__)

# Seconds between two looks: one read of an index each time. Embedded, it is also the time that a
# job waits before it starts.
PAUSE = 1.0
EMBEDDED_PAUSE = 0.2


AT_ONCE = 100  # jobs
# Sent again after 1, 2, 4 ... times JOB_LEASE: a long queue must not fill up with copies.
MOST_DOUBLINGS = 6
AT_ONCE_WRITABLE = 0.02  # seconds


def sweep(free: int) -> list[Job]:
    """Recover jobs whose worker is gone, and send those that no worker has seen.

    A job that was sent before is sent again only by a worker that is `free` to run that many: to
    this one the broker would have brought it. Returns the jobs that were sent.
    """
    now = timezone.now()
    wanted = Q(state=Job.State.RUNNING)
    if not sending.outbox.is_down and (free or not sending.is_embedded()):
        wanted |= Q(state=Job.State.QUEUED) if free else Q(state=Job.State.QUEUED, sends=0)
    due = Job.objects.filter(wanted, due_at__lte=now).exclude(lease__in=leases.held)
    # Reading takes no lock, and mostly there is nothing to do.
    if not due.exists():
        return []
    most = min(AT_ONCE, free) if sending.is_embedded() else AT_ONCE
    sent: list[Job] = []
    asked = time.monotonic()
    with transaction.atomic():
        # SQLite: somebody was writing, and may have kept a living worker from renewing its
        # leases. It gets the time until the next look.
        waited = connection.vendor == "sqlite" and time.monotonic() - asked > AT_ONCE_WRITABLE
        for job in due.select_for_update(skip_locked=True).order_by("due_at")[:AT_ONCE]:
            if job.state == Job.State.QUEUED:
                if len(sent) < most:
                    wait = services.lease_time() * 2 ** min(job.sends, MOST_DOUBLINGS)
                    Job.objects.filter(pk=job.pk).update(sends=job.sends + 1, due_at=now + wait)
                    sent.append(job)
            elif not waited and services.lose(job, "The worker stopped without a word."):
                logger.warning("job_lost", job=str(job.pk), task=job.name, attempts=job.attempts)
    for job in sent:
        sending.send(job)
    return sent


class Sweeper:
    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._stopping = threading.Event()
        self._may_have_lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def broker_came_back(self) -> None:
        self._may_have_lost.set()
        news.set()

    def stop(self) -> None:
        self._stopping.set()
        news.set()

    def _run(self) -> None:
        pause = EMBEDDED_PAUSE if sending.is_embedded() else PAUSE
        try:
            while not self._stopping.is_set():
                news.clear()
                self.look()
                news.wait(pause)
        finally:
            connection.close()

    def look(self) -> None:
        free = max(0, self._concurrency - len(state.reserved_requests))
        try:
            if self._may_have_lost.is_set():
                self._may_have_lost.clear()
                services.send_again()
            sweep(free)
        except Error as error:
            # SQLite is busy, or the database is away for a moment.
            logger.warning("sweep_failed", error=str(error))
            connection.close()


_sweeper: Sweeper | None = None


def on_connected(concurrency: int) -> None:
    """A worker is connected to its broker: for the first time, or again."""
    global _sweeper
    if _sweeper is None:
        _sweeper = Sweeper(concurrency)
        _sweeper.start()
    _sweeper.broker_came_back()


@signals.task_postrun.connect
def look_for_more(**_: Any) -> None:
    news.set()


@signals.worker_shutting_down.connect
def end_in_time(**_: Any) -> None:
    """Tasks may end. What has not after APP_SHUTDOWN_TIMEOUT is cut off: another worker does it."""
    if _sweeper is not None:
        _sweeper.stop()
    threading.Thread(target=_end, name="end", daemon=True).start()


def _end() -> None:
    end = time.monotonic() + settings.ENV.shutdown_timeout
    # Embedded, there is no broker to leave in order: Celery would take seconds to notice.
    while time.monotonic() < end and (state.reserved_requests or not sending.is_embedded()):
        time.sleep(EMBEDDED_PAUSE / 4)
    if state.reserved_requests:
        logger.warning("worker_cut_off", tasks=len(state.reserved_requests))
{% if "traces" in cookiecutter.observability %}
    if settings.ENV.otlp_endpoint:
        from apps.core import traces

        traces.flush()
{% endif %}
{% if "sentry" in cookiecutter.observability %}
    if settings.ENV.sentry_dsn:
        from apps.core import sentry

        sentry.flush()
{% endif %}
    os._exit(0)


@signals.setup_logging.connect
def leave_logging_to_django(**_: Any) -> None:
    """Celery sets up its own unless somebody listens."""
