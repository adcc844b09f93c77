import json
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.text import Truncator
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from apps.core.admin import ModelAdmin
from apps.jobs import services
{% if cookiecutter.admin_theme == "django" %}
from apps.jobs.forms import ScheduleForm
{% endif %}
from apps.jobs.models import Job
{% if cookiecutter.admin_theme == "unfold" %}
from apps.jobs.unfold import ScheduleForm
{% endif %}

LONGEST_IN_LIST = 80  # characters of an error
LONGEST_CALL = 2_000  # characters


@admin.register(Job)
class JobAdmin(ModelAdmin):
    """What runs, what failed and why. A page of a job that is not finished reloads by itself."""

    list_display = (
        "__str__",
        "state",
        "progress",
        "attempts",
        "duration",
        "short_error",
        "asked_by",
        "created_at",
    )
    list_filter = ("state", "name", "created_at")
    list_select_related = ("created_by",)
    list_per_page = 50
    # Counting all jobs for "of 12345" would be a second count of the whole table.
    show_full_result_count = False
    search_fields = ("label", "name", "error")
    search_help_text = "Label, task or error"
    actions = ("run_again",)
    fieldsets = (
        (None, {"fields": ("label", "name", "state", "progress", "error", "result")}),
        ("Attempts", {"fields": ("attempts", "retries", "duration", "run_at")}),
        ("Dates", {"fields": ("asked_by", "created_at", "started_at", "finished_at")}),
        ("Call", {"fields": ("id", "arguments")}),
    )
    readonly_fields = (
        "label",
        "name",
        "state",
        "progress",
        "error",
        "result",
        "attempts",
        "retries",
        "duration",
        "run_at",
        "asked_by",
        "created_at",
        "started_at",
        "finished_at",
        "id",
        "arguments",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        jobs: QuerySet[Job] = super().get_queryset(request)
        return jobs & Job.objects.visible_to(request.user)

    # Whoever may enter the admin sees the jobs they asked for.
    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return self.has_module_permission(request)

    # Jobs are made by what needs them, and removed when they are old: no hand may lose one.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_run_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.run_again_job")

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        if not job.progress_total:
            return "–"  # noqa: RUF001 - a dash
        return format_html(
            '<progress value="{}" max="{}"></progress> {} of {}',
            job.progress_done,
            job.progress_total,
            job.progress_done,
            job.progress_total,
        )

    @admin.display(description="duration")
    def duration(self, job: Job) -> str:
        lasted = job.duration
        if lasted is None:
            return "–"  # noqa: RUF001 - a dash
        if lasted < timedelta(minutes=1):
            return f"{lasted.total_seconds():.1f} s"
        return str(timedelta(seconds=round(lasted.total_seconds())))

    @admin.display(description="error")
    def short_error(self, job: Job) -> str:
        return job.error.partition("\n")[0][:LONGEST_IN_LIST]

    @admin.display(description="created by", ordering="created_by")
    def asked_by(self, job: Job) -> str:
        """Without the link to the account, which few may open."""
        return str(job.created_by or "")

    @admin.display(description="arguments")
    def arguments(self, job: Job) -> str:
        call = {"args": job.args, "kwargs": job.kwargs}
        text = json.dumps(call, cls=DjangoJSONEncoder, ensure_ascii=False)
        # A job may be about thousands of rows.
        return Truncator(text).chars(LONGEST_CALL)

    @admin.action(description="Run again", permissions=["run_again"])
    def run_again(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        finished = jobs & Job.objects.finished()
        if "confirmed" in request.POST:
            count = services.run_again(finished.values_list("pk", flat=True))
            if count:
                self.message_user(request, f"Queued again: {count}.", messages.SUCCESS)
            else:
                self.message_user(request, "No job there had finished.", messages.WARNING)
            return None
        whole_list = request.POST.get("select_across") == "1"
        context = self.admin_site.each_context(request) | {
            "title": "Run again",
            "opts": self.opts,
            "jobs": finished,
            "unfinished": jobs.count() - finished.count(),
            "succeeded": finished.filter(state=Job.State.SUCCEEDED).count(),
            # A form has no room for thousands of rows, and one of them is enough for the admin.
            "shown": finished[:1] if whole_list else finished,
            "whole_list": whole_list,
        }
        return TemplateResponse(request, "admin/jobs/job/run_again.html", context)


# The package's own pages, in the admin's theme. Its template for a schedule has a script in it,
# which our content security policy refuses; without it, the page shows the same.
for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(model)


@admin.register(PeriodicTask)
class ScheduleAdmin(beat.PeriodicTaskAdmin, ModelAdmin):
    form = ScheduleForm
    change_form_template = "admin/change_form.html"


class WithoutInlines(ModelAdmin):
    """A schedule's page does not repeat the tasks, which have a page of their own."""

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        return []


@admin.register(CrontabSchedule)
class CrontabAdmin(WithoutInlines, beat.CrontabScheduleAdmin):
    pass


@admin.register(ClockedSchedule)
class ClockedAdmin(WithoutInlines, beat.ClockedScheduleAdmin):
    pass


@admin.register(IntervalSchedule, SolarSchedule)
class OtherScheduleAdmin(ModelAdmin):
    """Every so often, and by the sun."""
