"""What is done with an upload, in a request or in a job. Both steps may run twice."""

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.files.storage import storages
from django.db import transaction

from apps.core.errors import DomainError, StorageError, UnprocessableError
from apps.jobs.task import enqueue
from apps.transfers.models import State, Transfer
from apps.transfers.resources import REPORTED, Advance, TransferResource, resource_of
from apps.transfers.scope import Scope
from apps.transfers.tables import Table, read_table

ALONE: Advance = lambda done, total: None  # noqa: E731 - nobody watches


def open_resource(transfer: Transfer) -> TransferResource:
    """Raises UnprocessableError when the user may not import such rows (any more)."""
    resource, scope = resource_of(transfer.model), Scope(transfer.created_by or AnonymousUser())
    if resource is None or not scope.may_import(transfer.model):
        raise UnprocessableError("You may not import these rows.")
    return resource(scope)


def read(transfer: Transfer) -> Table:
    try:
        with transfer.file.open("rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        raise UnprocessableError("The file is not there any more: upload it once more.") from error
    return read_table(transfer.name, content, max_rows=settings.TRANSFER_MAX_ROWS)


def examine(transfer: Transfer, table: Table | None, advance: Advance) -> TransferResource:
    resource = open_resource(transfer)
    resource.check(table or read(transfer), advance)
    transfer.created = len(resource.created)
    transfer.updated = len(resource.changed)
    transfer.unchanged = resource.unchanged
    transfer.errors = resource.errors[:REPORTED]
    transfer.error_count = len(resource.errors)
    transfer.preview = {"columns": resource.column_names(), "rows": resource.preview}
    return resource


def check(transfer: Transfer, advance: Advance = ALONE, *, table: Table | None = None) -> None:
    """Leave what was found in the transfer, for its user to decide.

    Give the table where it is at hand; else it is read from the file.
    """
    try:
        examine(transfer, table, advance)
    except DomainError as error:
        refuse(transfer, State.UPLOADED, str(error))
        return
    state = State.REFUSED if transfer.error_count else State.CHECKED
    settle(transfer, State.UPLOADED, state)


def carry_out(transfer: Transfer, advance: Advance = ALONE) -> None:
    """Check everything again, as the user who uploaded the file, and write all rows or none."""
    try:
        resource = examine(transfer, None, advance)
        if transfer.error_count:
            settle(transfer, State.CONFIRMED, State.REFUSED)
            return
        with transaction.atomic():
            if settle(transfer, State.CONFIRMED, State.IMPORTED):
                resource.write(f"Imported from {transfer.name}")
    except DomainError as error:
        refuse(transfer, State.CONFIRMED, str(error))


def refuse(transfer: Transfer, before: State, sentence: str) -> None:
    transfer.errors = [{"row": None, "column": "", "message": sentence}]
    transfer.error_count = 1
    settle(transfer, before, State.REFUSED)


def settle(transfer: Transfer, before: State, after: State) -> bool:
    """Move the transfer on; return False when that was done already."""
    transfer.state = after
    kept = ("created", "updated", "unchanged", "errors", "error_count", "preview", "state")
    changed = Transfer.objects.filter(pk=transfer.pk, state=before).update(
        **{name: getattr(transfer, name) for name in kept}
    )
    if changed and after in (State.REFUSED, State.IMPORTED):
        transaction.on_commit(lambda: forget_file(transfer.file_path))
    return bool(changed)


def forget_file(name: str) -> None:
    """At once, or in a job while the storage is away."""
    from apps.transfers.tasks import remove_upload  # it imports this module

    try:
        storages["default"].delete(name)
    except StorageError:
        enqueue(remove_upload, name, label=f"Remove {name}")
