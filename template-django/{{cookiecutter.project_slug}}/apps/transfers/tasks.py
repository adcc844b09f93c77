from celery import shared_task
from django.core.files.storage import storages

from apps.core.errors import StorageError
from apps.jobs.task import Task
from apps.transfers import steps
from apps.transfers.models import Transfer


@shared_task(
    base=Task,
    bind=True,
    atomic=False,
    autoretry_for=(StorageError,),
    retry_backoff=10,
    retry_jitter=False,
    max_retries=6,
)
def check_upload(self: Task, transfer_id: str) -> None:
    steps.check(Transfer.objects.get(pk=transfer_id), self.advance)


@shared_task(
    base=Task,
    bind=True,
    atomic=False,
    autoretry_for=(StorageError,),
    retry_backoff=10,
    retry_jitter=False,
    max_retries=6,
)
def import_upload(self: Task, transfer_id: str) -> None:
    steps.carry_out(Transfer.objects.get(pk=transfer_id), self.advance)


@shared_task(
    base=Task,
    atomic=False,
    autoretry_for=(StorageError,),
    retry_backoff=10,
    retry_jitter=False,
    max_retries=12,
)
def remove_upload(name: str) -> None:
    storages["default"].delete(name)
