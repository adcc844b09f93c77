from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.jobs import services
from apps.jobs.task import Task


@shared_task(base=Task, atomic=False)
def purge_old_jobs() -> int:
    """Delete jobs that finished JOB_KEEP_DAYS ago or earlier; the schedule calls it."""
    return services.purge(timezone.now() - timedelta(days=settings.JOB_KEEP_DAYS))
