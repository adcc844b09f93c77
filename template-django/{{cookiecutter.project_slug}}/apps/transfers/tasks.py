from celery import shared_task

from apps.jobs.task import Task
from apps.transfers import steps
from apps.transfers.models import Transfer


@shared_task(base=Task, bind=True, atomic=False)
def check_upload(self: Task, transfer_id: str) -> None:
    steps.check(Transfer.objects.get(pk=transfer_id), self.advance)


@shared_task(base=Task, bind=True, atomic=False)
def import_upload(self: Task, transfer_id: str) -> None:
    steps.carry_out(Transfer.objects.get(pk=transfer_id), self.advance)
