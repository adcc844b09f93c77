from django.contrib import admin
from django.http import HttpRequest

from apps.core.admin import ModelAdmin
from apps.transfers.models import Transfer


@admin.register(Transfer)
class TransferRecordAdmin(ModelAdmin):
    """Who imported what, and when."""

    list_display = (
        "name",
        "model_label",
        "created_by",
        "created_at",
        "state",
        "created",
        "updated",
    )
    list_filter = ("state", "model_label")
    list_select_related = ("created_by",)
    search_fields = ("name",)
    date_hierarchy = "created_at"
    fields = (
        *("name", "model_label", "created_by", "created_at", "state"),
        *("created", "updated", "unchanged", "error_count"),
    )

    # A file comes in through the import page of its rows, and goes its way from there.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Transfer | None = None) -> bool:
        return False

    # A record of who did what is not deleted by hand.
    def has_delete_permission(self, request: HttpRequest, obj: Transfer | None = None) -> bool:
        return False
