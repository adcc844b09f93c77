from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):
    """Puts jobs into the ledger at their time, also while the broker is down: it has no connection
    to it.
    """

    producer = None  # type: ignore[assignment]  # what the package takes for none
