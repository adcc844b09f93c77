from functools import partial
from typing import Any

from celery.worker import consumer

from apps.jobs import sending, sweeper

LONGEST_PAUSE = 5  # seconds between two attempts to reach the broker; Celery's own grow to 30


class Consumer(consumer.Consumer):
    """Celery's, which also says when the broker went away and when it came back."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(conn.ensure_connection, interval_max=LONGEST_PAUSE)
        return super().ensure_connected(conn)

    def on_ready(self) -> None:
        """Called each time that there is a connection; Celery's signal only comes the first time."""
        super().on_ready()
        sending.outbox.came_back()
        sweeper.on_connected(self.controller.concurrency)  # type: ignore[attr-defined]  # not in the stubs

    def on_close(self) -> None:
        super().on_close()
        sending.outbox.went_away()
