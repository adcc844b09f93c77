from datetime import timedelta
from json import JSONDecoder
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone
from kombu.utils.json import JSONEncoder, object_hook

# What a worker that is free needs at most, and the sentence for after it.
SOON = timedelta(seconds=5)
NOT_TAKEN = (
    "No worker has taken this yet: all are busy, or none is running. Nothing is lost; if it stays"
    " so, tell whoever runs this service."
)


class ArgumentDecoder(JSONDecoder):
    """Dates, decimals and UUIDs come out of the ledger as they would out of a message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(object_hook=object_hook, **options)


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, user: Any) -> "JobQuerySet":
        """A superuser sees every job, everybody else the jobs they created."""
        return self if user.is_superuser else self.filter(created_by=user.pk)

    def finished(self) -> "JobQuerySet":
        return self.filter(state__in=(Job.State.SUCCEEDED, Job.State.FAILED))


class Job(models.Model):
    """What has to be done, written in the transaction that asks for it. This row is the truth; a
    message to a worker only says that it is there.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    # Also the id of Celery's task.
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=255, help_text="the task's name")
    label = models.CharField(max_length=255, blank=True, help_text="what people call it")
    args = models.JSONField(default=list, encoder=JSONEncoder, decoder=ArgumentDecoder)
    kwargs = models.JSONField(default=dict, encoder=JSONEncoder, decoder=ArgumentDecoder)
    # How it is sent (queue, priority ...) and when it expires.
    options = models.JSONField(default=dict, encoder=JSONEncoder, decoder=ArgumentDecoder)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    # Attempts that ended in a retry; the others that did not end were lost with their worker.
    retries = models.PositiveIntegerField(default=0)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    result = models.TextField(blank=True)
    error = models.TextField(blank=True)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    run_at = models.DateTimeField(default=timezone.now, help_text="not before")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    # When the sweeper looks at it: to send it (again), or because the lease of its worker ends.
    due_at = models.DateTimeField(null=True, blank=True)
    sends = models.PositiveIntegerField(default=0)
    # Who may write the outcome: each attempt has a new one, so a worker that lost it cannot.
    lease = models.UUIDField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        # Nobody adds or edits a job by hand, and old ones are purged.
        default_permissions = ("view",)
        permissions = (("run_again_job", "Can run a job again"),)
        indexes = (
            models.Index(
                fields=["due_at"], name="jobs_due", condition=models.Q(due_at__isnull=False)
            ),
            models.Index(fields=["-created_at"], name="jobs_newest"),
            models.Index(fields=["created_by", "-created_at"], name="jobs_of_creator"),
            models.Index(fields=["finished_at"], name="jobs_finished"),
        )

    def __str__(self) -> str:
        return self.label or self.name

    @property
    def token(self) -> UUID:
        """The lease of a job that this process claimed."""
        assert self.lease is not None
        return self.lease

    @property
    def is_finished(self) -> bool:
        return self.state in (self.State.SUCCEEDED, self.State.FAILED)

    @property
    def why_it_waits(self) -> str:
        """A sentence for people who wait longer than the start of a job takes, or nothing."""
        due = self.state == self.State.QUEUED and self.run_at < timezone.now() - SOON
        return NOT_TAKEN if due else ""

    @property
    def losses(self) -> int:
        """Attempts that were lost with their worker, also the one that runs if it is lost now."""
        return self.attempts - self.retries

    @property
    def duration(self) -> timedelta | None:
        """Of the last attempt; of one that runs, until now."""
        if self.started_at is None or self.state == self.State.QUEUED:
            return None
        return (self.finished_at or timezone.now()) - self.started_at
