"""Telling the workers that a job is there. Who asks for a job never waits for the broker: a thread
sends the message. What it cannot send is sent by a worker's sweeper, later.
"""

import atexit
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery, current_app
from kombu.exceptions import KombuError

from apps.jobs.models import Job

logger = structlog.get_logger(__name__)

PAUSE = 5  # seconds after a failure, in which nothing is sent
MOST_WAITING = 1_000  # messages; the ledger has the rest
PATIENCE_AT_EXIT = 1  # seconds

# A worker's sweeper looks at once when this is set.
news = threading.Event()


class Outbox:
    """Messages on their way to the broker. `put` neither waits nor fails."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._waiting: queue.Queue[tuple[str, str, Mapping[str, Any]]] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._pause_ends = 0.0
        self._is_away = False

    @property
    def is_down(self) -> bool:
        """Whether the broker did not answer a moment ago, or a worker knows that it is away."""
        return self._is_away or time.monotonic() < self._pause_ends

    def went_away(self) -> None:
        self._is_away = True

    def came_back(self) -> None:
        self._is_away = False
        self._pause_ends = 0.0

    def put(self, job: Job) -> bool:
        """Returns False when the job is left to the sweepers."""
        # How it is sent: the rest of the job stands in the ledger.
        options = {name: value for name, value in job.options.items() if name != "expires"}
        try:
            self._waiting.put_nowait((job.name, str(job.pk), options))
        except queue.Full:
            return False
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._send, name="outbox", daemon=True)
            self._thread.start()
        return True

    def flush(self, patience: float = PATIENCE_AT_EXIT) -> bool:
        """Wait until everything is sent or given up, but not for long."""
        end = time.monotonic() + patience
        while self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)
        return not self._waiting.unfinished_tasks

    def _send(self) -> None:
        connection = self._app.connection_for_write()
        failures: tuple[type[BaseException], ...] = (
            *(KombuError, OSError),
            *connection.connection_errors,
            *connection.channel_errors,
        )
        while True:
            name, pk, options = self._waiting.get()
            try:
                if not self.is_down:
                    self._app.send_task(name, task_id=pk, ignore_result=True, **options)
            except failures as error:
                self._pause_ends = time.monotonic() + PAUSE
                logger.warning("broker_down", job=pk, task=name, error=str(error))
            finally:
                self._waiting.task_done()


outbox = Outbox(current_app)
atexit.register(outbox.flush)


def start_anew_after_a_fork() -> None:
    global outbox
    outbox = Outbox(current_app)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_anew_after_a_fork)


def is_embedded() -> bool:
    """Whether the ledger itself is the queue: workers look into it, and nothing is sent to them."""
    return str(current_app.conf.broker_url).startswith("memory:")


def announce() -> None:
    """A job is due: if this process is a worker, it looks at once."""
    news.set()


def send(job: Job) -> bool:
    return outbox.put(job)
