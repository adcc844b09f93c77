from typing import Any

from django.core.management.base import BaseCommand

from config.celery import app


class Command(BaseCommand):
    help = "Queue jobs at the times that the admin's schedules say. Run it once."

    def handle(self, *args: Any, **options: Any) -> None:
        app.Beat(loglevel="INFO", quiet=True).run()
