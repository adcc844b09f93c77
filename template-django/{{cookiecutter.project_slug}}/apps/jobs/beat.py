import signal
from typing import Any, NoReturn

from celery.apps.beat import Beat as CeleryBeat
from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):
    """Puts jobs into the ledger at their time, also while the broker is down: it has no connection
    to it.
    """

    producer = None  # type: ignore[assignment]  # what the package takes for none


class Beat(CeleryBeat):
    def install_sync_handler(self, service: Any) -> None:
        """Only leave: the service saves its state on the way out. Celery would save it right in the
        signal's handler, where the scheduler may be half made.
        """
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, leave)


def leave(*_: object) -> NoReturn:
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit
