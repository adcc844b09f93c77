from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.doctor import check_database
from apps.jobs.beat import Beat
from config.celery import app


class Command(BaseCommand):
    help = "Queue jobs at the times that the admin's schedules say. Run it once."

    def handle(self, *args: Any, **options: Any) -> None:
        level, text = check_database()
        if level == "problem":
            raise CommandError(text)
        Beat(app=app, loglevel="INFO", quiet=True).run()
