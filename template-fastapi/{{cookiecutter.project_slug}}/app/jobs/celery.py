"""Celery as a doorbell with an address: it carries the table and the id of a row to some worker.

The row is the truth. What the broker loses is sent again (`just beat`), and what it brings twice is
done once.
"""

import asyncio
from collections.abc import Collection
from ssl import CERT_REQUIRED
from typing import Any, Literal

import structlog
from celery import Celery

from app.db import Database
from app.jobs import worker
from app.jobs.queue import describe
from app.jobs.waking import UNKNOWN, Work
from app.settings import Settings

logger = structlog.get_logger()

TASK = "work"
MOST_WAITING = 10_000  # beyond, rows are left to the sweeper
AT_ONCE = 100  # messages
# Seconds for what is not sent when the process is told to stop; then that is left to the sweeper, too.
LAST_MESSAGES = 2


def celery_of(settings: Settings) -> Celery:
    app = Celery("app", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_timeout=2,
        # Once: for a connection that ended since it was used last.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0},
        # Workers, on the other hand, wait for it as long as it takes.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A worker takes what it can run, and what it does not finish goes to others at once.
        worker_prefetch_multiplier=1,
        task_acks_late=True,
        # The work goes on when the broker is away: the row, not the message, says that it is done.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        **transport(settings),
    )
    return app


def transport(settings: Settings) -> dict[str, Any]:
    url = settings.broker_url.get_secret_value()
    if url.startswith("amqp"):
        return {
            # Replicated, and on disk before a publisher is told that it is kept.
            "task_default_queue_type": "quorum",
            # Celery makes 28 queues for delays, which we do not use: jobs wait in the database.
            "broker_native_delayed_delivery_queue_type": "classic",
            "broker_transport_options": {"confirm_publish": True, "max_retries": 0},
        }
    options = {
        # A message comes back when it was not acknowledged for this long. That it comes back while
        # a long job still runs does no harm: whose lease is alive is left alone.
        "visibility_timeout": max(1, round(2 * settings.job_lease)),
        # Look for them each second; the defaults look every 100 s.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "max_retries": 0,
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "socket_keepalive": True,
    }
    return {
        "broker_transport": "app.jobs.redis:Transport",
        "broker_transport_options": options,
        # Unless it is told so, Celery takes any certificate.
        "broker_use_ssl": {"ssl_cert_reqs": CERT_REQUIRED} if url.startswith("rediss") else False,
    }


class Sender:
    """Sends in the background: a broker that is down or slow keeps no request waiting."""

    def __init__(self, settings: Settings) -> None:
        self.celery = celery_of(settings)
        self._waiting: list[Work] = []
        self._sending: asyncio.Task[None] | None = None
        self._publishing = asyncio.Lock()
        self._is_down = False

    def send(self, work: Collection[Work]) -> None:
        known = [one for one in work if one != UNKNOWN]
        self._waiting += known[: MOST_WAITING - len(self._waiting)]
        if self._waiting and self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            await self.publish(batch)
        self._sending = None

    async def publish(self, work: Collection[Work]) -> bool:
        """False when the broker did not take all of it."""
        async with self._publishing:
            try:
                await asyncio.to_thread(self._publish, work)
            except Exception as error:
                if not self._is_down:
                    logger.warning("broker_down", reason=repr(error))
                self._is_down = True
                return False
        if self._is_down:
            logger.info("broker_up")
        self._is_down = False
        return True

    def _publish(self, work: Collection[Work]) -> None:
        with self.celery.producer_or_acquire() as producer:
            for one in work:
                self.celery.send_task(TASK, args=one, producer=producer)

    async def count_waiting(self) -> int:
        """Messages that no worker has taken; none where there is no queue yet, or no answer."""
        try:
            return await asyncio.to_thread(self._count)
        except Exception:
            return 0

    def _count(self) -> int:
        with self.celery.connection_or_acquire() as connection, connection.channel() as channel:
            queue = channel.queue_declare(self.celery.conf.task_default_queue, passive=True)
            return int(queue.message_count)

    async def close(self) -> None:
        if (sending := self._sending) is not None:
            await asyncio.wait([sending], timeout=LAST_MESSAGES)
            self._waiting.clear()
            await sending
        await asyncio.to_thread(self.celery.close)


class Workforce(worker.Workforce):
    """With a broker work is done by `just worker` alone. Without one, in development, as if there
    never was one."""

    sender: Sender | None = None

    def __init__(self, settings: Settings, database: Database) -> None:
        there_is_one = bool(settings.broker_url.get_secret_value())
        embedded = settings.embedded_worker and not there_is_one
        super().__init__(settings.model_copy(update={"embedded_worker": embedded}), database)
        if there_is_one:
            self.sender = Sender(settings)
            self.bell.notifies = False
            self.bell.listeners.add(self.sender.send)

    async def stop(self) -> None:
        await super().stop()
        if self.sender is not None:
            await self.sender.close()


async def check_broker(settings: Settings) -> tuple[Literal["ok", "warning"], str]:
    """For `just doctor`."""
    if not settings.broker_url.get_secret_value():
        return "ok", "There is no broker: the web process runs jobs."
    app = celery_of(settings)

    def connect() -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5, interval_start=0)

    try:
        await asyncio.to_thread(connect)
    except Exception as error:
        return "warning", f"The broker does not answer, so jobs wait: {describe(error)}"
    return "ok", "The broker answers."
