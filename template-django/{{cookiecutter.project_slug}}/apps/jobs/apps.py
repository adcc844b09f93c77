from django.apps import AppConfig
from django.db.models.signals import post_migrate


class JobsConfig(AppConfig):
    name = "apps.jobs"

    def ready(self) -> None:
        from apps.jobs import schedules, sweeper  # noqa: F401 - the sweeper listens to Celery

        post_migrate.connect(schedules.make_schedules, sender=self)
