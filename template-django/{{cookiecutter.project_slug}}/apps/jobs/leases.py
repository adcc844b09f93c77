import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error, connection

from apps.jobs import services

logger = structlog.get_logger(__name__)

AFTER_A_FAILURE = 0.1  # seconds


class Leases:
    """Renews the leases of the jobs that this process runs, all with one UPDATE, from a thread.

    On SQLite the UPDATE has to wait while a body writes, and may fail. For that body it is
    harmless: whoever wants to take its job over needs the same write lock, and after its commit
    the job is done. For others the sweeper makes allowance. A renewal that fails for longer than
    the lease loses it, and the body's commit is refused.
    """

    def __init__(self) -> None:
        self._held: set[UUID] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, lease: UUID) -> Iterator[None]:
        with self._lock:
            self._held.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(lease)

    @property
    def held(self) -> list[UUID]:
        with self._lock:
            return list(self._held)

    def _renew(self) -> None:
        """Ends when there is nothing to renew; has a connection only while it renews."""
        pause = settings.JOB_LEASE / 4
        while True:
            time.sleep(pause)
            with self._lock:
                held = list(self._held)
                if not held:
                    self._thread = None
                    return
            try:
                services.renew(held)
                pause = settings.JOB_LEASE / 4
            except Error as error:
                logger.warning("leases_not_renewed", jobs=len(held), error=str(error))
                pause = min(AFTER_A_FAILURE, pause)
            finally:
                connection.close()


leases = Leases()
