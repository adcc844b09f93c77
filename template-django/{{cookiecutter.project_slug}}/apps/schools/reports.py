from typing import Any

from django.db import transaction

from apps.schools.models import Report


def on_report_deleted(instance: Report, **_: Any) -> None:
    if name := instance.file.name:
        transaction.on_commit(lambda: instance.file.storage.delete(name))
