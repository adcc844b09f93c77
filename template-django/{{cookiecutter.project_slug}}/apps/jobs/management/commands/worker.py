import logging
import sys
import warnings
from argparse import ArgumentParser
from typing import Any

from celery.exceptions import SecurityWarning
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.core.doctor import NOT_LET_IN, check_broker, check_database
from config.celery import app


class Command(BaseCommand):
    help = "Run background jobs until SIGTERM or Ctrl-C; then end within APP_SHUTDOWN_TIMEOUT."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            default=settings.ENV.worker_concurrency,
            help="tasks at once (default: APP_WORKER_CONCURRENCY)",
        )

    def handle(self, *args: Any, concurrency: int, **options: Any) -> None:
        # Once it runs it waits for a database that is away, for ever.
        level, text = check_database()
        if level == "problem":
            raise CommandError(text)
        # One that is down, it waits for, too.
        if check_broker() == ("problem", NOT_LET_IN):
            raise CommandError(NOT_LET_IN)
        leave_out_what_nobody_can_act_on()
        # Threads: one process that dies as a whole, no database connections to repair after a
        # fork, and the same on Windows. For more processors, run more workers.
        worker = app.Worker(
            pool="threads",
            concurrency=concurrency,
            loglevel="INFO",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        sys.exit(worker.exitcode)


def leave_out_what_nobody_can_act_on() -> None:
    # A container's user often is root, and messages are JSON, which runs nothing.
    warnings.filterwarnings(
        "ignore", "You're running the worker with superuser privileges", SecurityWarning
    )
    # With RabbitMQ, at each start. Jobs wait for their time in the ledger, not in the broker.
    delays = logging.getLogger("kombu.transport.native_delayed_delivery")
    delays.addFilter(lambda record: "ETA tasks" not in record.getMessage())
