import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.core.doctor import check_database
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
