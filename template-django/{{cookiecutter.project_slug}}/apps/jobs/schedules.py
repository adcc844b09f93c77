from typing import Any

from django.apps import apps as current_apps


def make_schedules(using: str, apps: Any = current_apps, **_: Any) -> None:
    """What has to run now and then, made after migrating, once: what an administrator changes in
    the admin stays. Disable an entry instead of deleting it.
    """
    try:
        PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
        CrontabSchedule = apps.get_model("django_celery_beat", "CrontabSchedule")
    except LookupError:
        # Migrated back to where there were no schedules.
        return
    entries = PeriodicTask.objects.using(using)
    if entries.filter(name="Purge old jobs").exists():
        return
    nightly, _created = CrontabSchedule.objects.using(using).get_or_create(minute="17", hour="3")
    entries.create(name="Purge old jobs", task="apps.jobs.tasks.purge_old_jobs", crontab=nightly)
