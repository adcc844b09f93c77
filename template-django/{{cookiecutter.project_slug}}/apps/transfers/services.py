"""What the admin asks for when somebody imports a file."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from apps.core.errors import StorageError
from apps.jobs.task import Task, enqueue
from apps.transfers import steps, tasks
from apps.transfers.models import State, Transfer
from apps.transfers.tables import open_table, shape

KEPT = timedelta(days=7)
# A larger workbook takes long to read: a job does it.
READ_AT_ONCE = 256 * 1024  # bytes


def receive(model: type[Model], file: "File[bytes]", user: Any) -> Transfer:
    """Keep the file and check it: at once when it is small, else in a job.

    Raises UnprocessableError when the file is no table of the model's rows, StorageError when it
    cannot be kept; then nothing of it stays.
    """
    forget_old()
    transfer = Transfer(
        model_label=model._meta.label_lower, name=str(file.name)[-200:], created_by=user
    )
    resource = steps.open_resource(transfer)
    content = file.read()
    rows = open_table(transfer.name, content)
    large = transfer.name.lower().endswith(".xlsx") and len(content) > READ_AT_ONCE
    table = None
    if not large:
        table = shape(rows, settings.TRANSFER_MAX_ROWS)
        resource.columns_of(table)
        large = len(table.rows) > settings.TRANSFER_ROWS_IN_REQUEST
    transfer.file.save("", ContentFile(content), save=False)
    with transaction.atomic():
        transfer.save(force_insert=True)
        if large:
            start(transfer, tasks.check_upload, f"Check {transfer}")
    if not large:
        steps.check(transfer, table=table)
    return transfer


def confirm(transfer: Transfer) -> bool:
    """Import what was checked; return False when it was confirmed already.

    Raises StorageError when the file cannot be read; then it can be confirmed again.
    """
    with transaction.atomic():
        waiting = Transfer.objects.filter(pk=transfer.pk, state=State.CHECKED)
        if not waiting.update(state=State.CONFIRMED):
            return False
        rows = transfer.created + transfer.updated + transfer.unchanged
        large = rows > settings.TRANSFER_ROWS_IN_REQUEST
        if large:
            start(transfer, tasks.import_upload, f"Import {transfer}")
    if not large:
        try:
            steps.carry_out(transfer)
        except StorageError:
            Transfer.objects.filter(pk=transfer.pk).update(state=State.CHECKED)
            raise
    return True


def start(transfer: Transfer, task: Task, label: str) -> None:
    job = enqueue(task, str(transfer.pk), created_by=transfer.created_by, label=label)
    Transfer.objects.filter(pk=transfer.pk).update(job=job)


def discard(transfer: Transfer) -> None:
    """Forget an upload that changed nothing; what was imported stays on record."""
    if transfer.state != State.IMPORTED:
        file = transfer.file_path
        transfer.delete()
        steps.forget_file(file)


def forget_old() -> None:
    """Uploads that nobody confirmed do not lie around for ever."""
    for transfer in Transfer.objects.exclude(state=State.IMPORTED).filter(
        created_at__lt=timezone.now() - KEPT
    ):
        discard(transfer)
