from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from simple_history.admin import SimpleHistoryAdmin
from simple_history.manager import SIMPLE_HISTORY_REVERSE_ATTR_NAME
from simple_history.models import HistoricalRecords, ModelChange
from simple_history.template_utils import HistoricalRecordContextHelper

from apps.history.records import history_of, is_tracked

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin


class Differences(HistoricalRecordContextHelper):
    """Names related rows only to those who may see them."""

    def __init__(self, record: Any, model_admin: "HistoryAdmin", request: HttpRequest) -> None:
        super().__init__(model_admin.model, record)
        self.model_admin = model_admin
        self.request = request

    def prepare_delta_change_value(self, change: ModelChange, value: Any) -> Any:
        value = super().prepare_delta_change_value(change, value)
        return [self.name(row) for row in value] if isinstance(value, list) else self.name(value)

    def name(self, value: Any) -> Any:
        if isinstance(value, Model) and not self.model_admin.may_see(self.request, value):
            return "(not visible)"
        return value


class HistoryAdmin(SimpleHistoryAdmin, Base):
    """History with diff and revert, for models that their app's history.py registers.

    What a user does not see in the admin has no history for them either, and what they may not
    change they cannot revert.
    """

    def get_urls(self) -> list[URLPattern]:
        if is_tracked(self.model):
            urls: list[URLPattern] = super().get_urls()
            return urls
        # Without a history there are no pages of versions.
        return super(SimpleHistoryAdmin, self).get_urls()

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not is_tracked(self.model):
            return super(SimpleHistoryAdmin, self).history_view(request, object_id, extra_context)
        if self.find(request, object_id) is None:
            return self.not_found(request, object_id)
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def history_form_view(
        self,
        request: HttpRequest,
        object_id: str,
        version_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.find(request, object_id)
        version = key_of(history_of(self.model).model, version_id)
        if row is None or not self.versions(object_id).filter(pk=version).exists():
            return self.not_found(request, object_id)
        # The templates make links of it, and the historical model has no admin.
        context = {"opts": self.opts} | (extra_context or {})
        show = partial(super().history_form_view, request, object_id, version_id, context)
        if request.method != "POST":
            page: HttpResponse = show()
            return page
        # The library asks for the permission to view only.
        if self.revert_disabled(request, row):
            raise PermissionDenied
        try:
            with transaction.atomic():
                response: HttpResponse = show()
                # The version may point to rows that are gone, or that belong to others.
                connection.check_constraints([self.opts.db_table])
                if not self.may_see(request, row) or not self.has_change_permission(request, row):
                    raise PermissionDenied
        except IntegrityError:
            messages.error(request, "This version belongs to something that is gone.")
            return HttpResponseRedirect(self.url_of("history", row.pk))
        return response

    def revert_disabled(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.model._base_manager.filter(pk=obj.pk).exists():
            return not self.has_change_permission(request, obj)
        # To bring back is to add. About a row that is not there nobody can be asked yet.
        return not (self.has_add_permission(request) and self.has_change_permission(request))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        version = getattr(obj, SIMPLE_HISTORY_REVERSE_ATTR_NAME, None)
        if version:
            obj._change_reason = f"Reverted to {version.history_date:%Y-%m-%d %H:%M:%S}"
        super().save_model(request, obj, form, change)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with asked_by(request):
            super().delete_queryset(request, queryset)

    def get_historical_record_context_helper(
        self, request: HttpRequest, historical_record: Any
    ) -> HistoricalRecordContextHelper:
        return Differences(historical_record, self, request)

    def find(self, request: HttpRequest, object_id: str) -> Model | None:
        """The row, or what it was before it was deleted, if this user sees it."""
        key = key_of(self.model, unquote(object_id))
        if self.model._base_manager.filter(pk=key).exists():
            return self.get_object(request, str(key))
        last = self.versions(object_id).order_by("-history_date", "-history_id").first()
        if last is None:
            return None
        row: Model = last.instance
        return row if self.would_see(request, row) else None

    def versions(self, object_id: str) -> QuerySet[Any]:
        rows: QuerySet[Any] = history_of(self.model).filter(
            **{self.opts.pk.attname: key_of(self.model, unquote(object_id))}
        )
        return rows

    def may_see(self, request: HttpRequest, row: Model) -> bool:
        """Whether its admin, if it has one, lists the row for this user."""
        model_admin = self.admin_site._registry.get(type(row))
        if model_admin is None:
            return True
        return model_admin.get_queryset(request).filter(pk=row.pk).exists()

    def would_see(self, request: HttpRequest, row: Model) -> bool:
        """Who sees a deleted row? Who would see it if it were there: so it is, for a moment."""
        try:
            with transaction.atomic():
                # Raw: no signals act on it, and no history is written.
                row.save_base(raw=True, force_insert=True)
                visible = self.may_see(request, row)
                transaction.set_rollback(True)
        except IntegrityError:
            # Another row took its place.
            return self.has_view_permission(request) and request.user.is_superuser
        return visible

    def not_found(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As the admin answers for any row that is not there."""
        response: HttpResponse = self._get_obj_does_not_exist_redirect(
            request, self.opts, object_id
        )
        return response

    def url_of(self, page: str, *args: object) -> str:
        name = f"{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(f"{self.admin_site.name}:{name}", args=args)


@contextmanager
def asked_by(request: HttpRequest) -> Iterator[None]:
    """Versions name who asked for them, also in a job, where no middleware knows a request."""
    context = HistoricalRecords.context
    before = getattr(context, "request", None)
    context.request = request
    try:
        yield
    finally:
        context.request = before


def key_of(model: type[Model], text: str) -> Any:
    """The primary key that a URL names, or None, which no row has."""
    try:
        return model._meta.pk.to_python(text)
    except ValidationError:
        return None
