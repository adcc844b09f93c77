from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import slugify

from apps.core.errors import DomainError, StorageError
from apps.core.uploads import size
from apps.transfers import services
from apps.transfers.models import State, Transfer
from apps.transfers.resources import TransferResource, resource_of
from apps.transfers.scope import Scope
from apps.transfers.tables import write_csv, write_xlsx

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin


FORMATS: Final = {
    "csv": (write_csv, "text/csv; charset=utf-8"),
    "xlsx": (write_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}


class UploadForm(forms.Form):
    file = forms.FileField()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["file"].help_text = (
            f"CSV (UTF-8) or XLSX, at most {size(settings.ENV.max_upload_size)}; the first row names"
            " the columns."
        )


class TransferAdmin(Base):
    """Import and export, for models that have a resource in their app's resources.py."""

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        self.resource = resource_of(model)
        # The names in the template's context are import-export's, which has it for every theme.
        self.list_template = self.change_list_template or "admin/change_list.html"
        if self.resource:
            template = "admin/import_export/change_list_import_export.html"
            self.change_list_template = template  # type: ignore[misc]  # of this model's admin only

    def open_resource(self, request: HttpRequest) -> TransferResource:
        if self.resource is None:
            raise PermissionDenied
        return self.resource(Scope(request.user))

    def url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def get_urls(self) -> list[URLPattern]:
        if self.resource is None:
            return super().get_urls()
        view, name = self.admin_site.admin_view, self.url_name
        one = "import/<uuid:transfer_id>/"
        return [
            path("import/", view(self.import_view), name=name("import")),
            path(one, view(self.transfer_view), name=name("transfer")),
            path("export/", view(self.export_view), name=name("export")),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "ie_base_change_list_template": self.list_template,
            "has_import_permission": self.has_import_permission(request),
            "has_export_permission": self.has_export_permission(request),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    # Import

    def has_import_permission(self, request: HttpRequest) -> bool:
        return self.resource is not None and Scope(request.user).may_import(self.model)

    def import_view(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = UploadForm()
        if request.method == "POST":
            form = UploadForm(request.POST, request.FILES)
        # As the theme shows a file.
        shown: Any = self.formfield_for_dbfield(Transfer._meta.get_field("file"), request)
        form.fields["file"].widget = shown.widget
        shown.widget.attrs["accept"] = ".csv,.xlsx"
        if form.is_valid():
            try:
                transfer = services.receive(self.model, form.cleaned_data["file"], request.user)
            except (DomainError, StorageError) as error:
                form.add_error("file", str(error))
            else:
                return self.redirect("transfer", transfer.pk)
        resource = self.open_resource(request)
        return self.page(
            request,
            "transfers/upload.html",
            title=f"Import {self.opts.verbose_name_plural}",
            form=form,
            columns=resource.column_names(),
            required=resource.required_columns(),
            ignored=resource.ignored_columns(),
        )

    def transfer_view(self, request: HttpRequest, transfer_id: UUID) -> HttpResponseBase:
        if not self.has_import_permission(request):
            raise PermissionDenied
        transfer = get_object_or_404(
            Transfer.objects.select_related("job", "created_by"),
            pk=transfer_id,
            model_label=self.opts.label_lower,
            created_by=request.user.pk,
        )
        if "_discard" in request.POST:
            services.discard(transfer)
            return self.redirect("import")
        if "_confirm" in request.POST:
            try:
                services.confirm(transfer)
            except StorageError as error:
                self.message_user(request, str(error), messages.ERROR)
            return self.redirect("transfer", transfer.pk)
        return self.page(
            request,
            "transfers/transfer.html",
            title=f"Import {self.opts.verbose_name_plural}",
            subtitle=transfer.name,
            transfer=transfer,
            more=transfer.error_count - len(transfer.errors),
            State=State,
        )

    def redirect(self, page: str, *args: object) -> HttpResponseRedirect:
        name = f"{self.admin_site.name}:{self.url_name(page)}"
        return HttpResponseRedirect(reverse(name, args=args))

    def page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        request.current_app = self.admin_site.name
        shared = {"opts": self.opts, "media": self.media}
        return TemplateResponse(
            request, template, self.admin_site.each_context(request) | shared | context
        )

    # Export

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.resource is not None and self.has_view_permission(request)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The rows that the list shows, searched and filtered like there."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except (IncorrectLookupParameters, OverflowError, ValueError) as error:
            raise BadRequest("The filter of the list is not valid.") from error
        if request.method == "POST":
            return self.export(request, rows, request.POST.get("format", ""))
        return self.page(
            request,
            "transfers/export.html",
            title=f"Export {self.opts.verbose_name_plural}",
            count=rows.count(),
            columns=self.open_resource(request).column_names(),
        )

    def export(self, request: HttpRequest, rows: QuerySet[Any], form: str) -> HttpResponse:
        if form not in FORMATS:
            raise BadRequest("The format is csv or xlsx.")
        write, content_type = FORMATS[form]
        table = self.open_resource(request).export(rows, force_native_type=True)
        name = slugify(f"{self.opts.verbose_name_plural} {timezone.localdate()}")
        return HttpResponse(
            write(table.headers, table),
            content_type=content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
        )

    def get_actions(self, request: HttpRequest, *place: Any) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request, *place)
        if self.has_export_permission(request):
            for form in FORMATS:
                name = f"export_{form}"
                label = f"Export selected %(verbose_name_plural)s as {form.upper()}"
                actions[name] = (partial(export_selected, form), name, label)
        return actions


def export_selected(
    form: str, model_admin: TransferAdmin, request: HttpRequest, rows: QuerySet[Any]
) -> HttpResponse:
    return model_admin.export(request, rows, form)
