import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

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
        parser.add_argument("--reload", action="store_true", help="start anew when code changes")

    def handle(self, *args: Any, concurrency: int, reload: bool, **options: Any) -> None:
        if reload:
            restart_on_changes(concurrency)
            return
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


def restart_on_changes(concurrency: int) -> None:
    # A development dependency: production does not have it.
    from watchfiles import PythonFilter, run_process

    root = settings.ROOT
    run_process(
        root / "apps",
        root / "config",
        target=f'"{sys.executable}" "{root / "manage.py"}" worker --concurrency {concurrency}',
        target_type="command",
        watch_filter=PythonFilter(),
    )
