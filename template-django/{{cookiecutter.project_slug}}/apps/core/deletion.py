"""Deleting what is selected, in every list of the admin. Django's own page has a field and a line for
each row, and refuses more than a thousand; this one counts, and leaves long work to a job.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import NestedObjects
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Model, ProtectedError, QuerySet, RestrictedError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from apps.core.errors import UnprocessableError
from apps.jobs.task import enqueue

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]

# Up to so many rows, with all that goes with them, are deleted in the request, above in a job.
ROWS_IN_REQUEST: Final = 500
# Of the chosen rows, in one transaction of a job.
AT_ONCE: Final = 100
MOST_SHOWN: Final = 20

# Rows done, rows in all.
Advance = Callable[[int, int], None]


class Deletion:
    """What goes with the rows, and what stands in the way. Reads all of it and writes nothing."""

    def __init__(
        self, model_admin: "ModelAdmin", request: HttpRequest, rows: QuerySet[Any]
    ) -> None:
        self.model_admin = model_admin
        self.request = request
        self.rows = list(rows)
        found = NestedObjects(using=router.db_for_write(rows.model), origin=rows)
        found.collect(self.rows)
        self.found: Any = found.model_objs  # sets of rows, by model
        # Rows that need one of these (PROTECT, RESTRICT) and do not go with them.
        self.needed_by = sorted(named(row) for row in found.protected)

    @property
    def counts(self) -> Counter[type[Model]]:
        """Without the rows that only tie two others together."""
        return Counter(
            {model: len(rows) for model, rows in self.found.items() if not model._meta.auto_created}
        )

    @property
    def is_large(self) -> bool:
        return sum(len(rows) for rows in self.found.values()) > ROWS_IN_REQUEST

    def forbidden(self) -> list[str]:
        """The kinds with a row that the user may not delete, as its own admin says."""
        admins = self.model_admin.admin_site._registry
        return sorted(
            str(model._meta.verbose_name_plural)
            for model, rows in self.found.items()
            if model in admins
            and not all(admins[model].has_delete_permission(self.request, row) for row in rows)
        )

    def refuse(self) -> None:
        """Raises UnprocessableError when something stands in the way."""
        if kinds := self.forbidden():
            raise UnprocessableError(f"You may not delete all of these {', '.join(kinds)}.")
        if self.needed_by:
            raise UnprocessableError(f"Still needed by {shortened(self.needed_by)}.")


def named(row: Model) -> str:
    return f"{row._meta.verbose_name} {row}"


def shortened(names: Sequence[str]) -> str:
    more = len(names) - MOST_SHOWN
    return ", ".join([*names[:MOST_SHOWN], *([f"and {more:,} more"] if more > 0 else [])])


def in_words(counts: Counter[type[Model]]) -> str:
    """Such as "3 students, 1 grade", in the order in which they were found."""
    return ", ".join(
        f"{count:,} {model._meta.verbose_name if count == 1 else model._meta.verbose_name_plural}"
        for model, count in counts.items()
    )


@admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
def delete_selected(
    model_admin: "ModelAdmin", request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    chosen = Deletion(model_admin, request, queryset)
    if not chosen.rows:
        model_admin.message_user(request, "None of the chosen rows is there.", messages.WARNING)
        return None
    # Row by row, thousands take long: the job does it before it deletes the first one.
    forbidden = [] if chosen.is_large else chosen.forbidden()
    if "post" in request.POST and not chosen.needed_by:
        if forbidden:
            raise PermissionDenied
        if chosen.is_large:
            return leave_to_a_worker(chosen)
        delete(model_admin, request, queryset)
        model_admin.message_user(request, f"Deleted: {in_words(chosen.counts)}.", messages.SUCCESS)
        return None
    whole_list = request.POST.get("select_across") == "1"
    counts = chosen.counts
    own = Counter({queryset.model: counts.pop(queryset.model)})
    context = model_admin.admin_site.each_context(request) | {
        "title": f"Delete {in_words(own)}",
        "opts": model_admin.opts,
        "media": model_admin.media,
        "with_them": in_words(counts),
        "shown": chosen.rows[:MOST_SHOWN],
        "more": len(chosen.rows[MOST_SHOWN:]),
        "is_large": chosen.is_large,
        "forbidden": forbidden,
        "needed_by": chosen.needed_by[:MOST_SHOWN],
        "needed_by_more": len(chosen.needed_by[MOST_SHOWN:]),
        "whole_list": whole_list,
        # A form has no room for thousands of rows, and one of them is enough for the admin.
        "chosen": [row.pk for row in chosen.rows[: 1 if whole_list else None]],
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "back": request.get_full_path(),
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "core/delete_selected.html", context)


def leave_to_a_worker(chosen: Deletion) -> HttpResponse:
    from apps.core.tasks import delete_rows  # it imports this module

    opts, request = chosen.model_admin.opts, chosen.request
    job = enqueue(
        delete_rows,
        opts.label_lower,
        [row.pk for row in chosen.rows],
        request.user.pk,
        created_by=request.user,
        label=f"Delete {len(chosen.rows):,} {opts.verbose_name_plural}",
    )
    progress = reverse("admin:jobs_job_change", args=[job.pk])
    chosen.model_admin.message_user(
        request,
        format_html('A worker <a class="underline" href="{}">deletes them</a>.', progress),
        messages.SUCCESS,
    )
    return HttpResponseRedirect(progress)


@transaction.atomic
def delete(model_admin: "ModelAdmin", request: HttpRequest, rows: QuerySet[Any]) -> None:
    """As Django's own action does: noted in the admin's log, with signals."""
    model_admin.log_deletions(request, rows)
    model_admin.delete_queryset(request, rows)


def delete_in_steps(model: type[Model], pks: list[Any], user: Any, advance: Advance) -> str:
    """Delete, as this user, the rows that are (still) there. May run twice.

    Raises UnprocessableError: when something stands in the way, before the first row is deleted.
    """
    model_admin = admin.site.get_model_admin(model)
    request = HttpRequest()
    request.user = user
    if not (user.is_active and user.is_staff and model_admin.has_delete_permission(request)):
        raise UnprocessableError(f"You may not delete {model._meta.verbose_name_plural}.")
    steps = range(0, len(pks), AT_ONCE)

    def rows(start: int) -> QuerySet[Any]:
        return model_admin.get_queryset(request).filter(pk__in=pks[start : start + AT_ONCE])

    counts: Counter[type[Model]] = Counter()
    for start in steps:
        advance(0, len(pks))
        some = Deletion(model_admin, request, rows(start))
        some.refuse()
        counts += some.counts
    for start in steps:
        try:
            delete(model_admin, request, rows(start))
        except (ProtectedError, RestrictedError) as error:
            raise UnprocessableError(
                f"Deleted only {start:,} of {len(pks):,}: another row needs one of the others by now."
            ) from error
        advance(min(start + AT_ONCE, len(pks)), len(pks))
    return f"Deleted: {in_words(counts) or 'nothing, they were gone'}."
