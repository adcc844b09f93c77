from typing import ClassVar
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Q


def upload_path(transfer: "Transfer", _: str) -> str:
    """Nothing of the name that the file came with, so that nobody can guess or steer it."""
    return f"transfers/{transfer.pk}"


class State(models.TextChoices):
    UPLOADED = "uploaded", "waits to be checked"
    REFUSED = "refused", "refused"
    CHECKED = "checked", "waits for confirmation"
    CONFIRMED = "confirmed", "is being imported"
    IMPORTED = "imported", "imported"


class Transfer(models.Model):
    """A file that somebody imports: uploaded, checked, confirmed, imported."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Of the model whose rows it holds, as in "schools.student".
    model_label = models.CharField("rows", max_length=100)
    name = models.CharField("file", max_length=200)
    file = models.FileField(upload_to=upload_path)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="transfers",
        verbose_name="by",
    )
    created_at = models.DateTimeField("uploaded", auto_now_add=True)
    state = models.CharField(max_length=10, choices=State, default=State.UPLOADED)
    # The check or the import, when it does not run in the request.
    job = models.ForeignKey("jobs.Job", models.SET_NULL, null=True, related_name="+")
    created = models.PositiveIntegerField("new", default=0)
    updated = models.PositiveIntegerField("changed", default=0)
    unchanged = models.PositiveIntegerField(default=0)
    # [{"row": 3, "column": "class", "message": "..."}], the first ones of error_count.
    errors = models.JSONField(default=list)
    error_count = models.PositiveIntegerField(default=0)
    # {"columns": [...], "rows": [{"row": 2, "new": true, "cells": [[old, new], ...]}]}
    preview = models.JSONField(default=dict)

    class Meta:
        verbose_name = "import"
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="transfer_state_known")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def file_path(self) -> str:
        return upload_path(self, "")

    @property
    def model(self) -> type[models.Model]:
        return apps.get_model(self.model_label)

    @property
    def is_under_way(self) -> bool:
        return self.state in (State.UPLOADED, State.CONFIRMED) and not self.is_stuck

    @property
    def is_stuck(self) -> bool:
        """Its job gave up, or nobody knows of it any more."""
        waits = self.state in (State.UPLOADED, State.CONFIRMED)
        return waits and (self.job is None or self.job.is_finished)
