"""The admin's base classes: what the answers chose for all of them stands here, once."""

from typing import TYPE_CHECKING, Any
{% if cookiecutter.admin_extras %}

{% endif %}
{% if "history" in cookiecutter.admin_extras %}
from apps.history.mixin import HistoryAdmin
{% endif %}
{% if "import_export" in cookiecutter.admin_extras %}
from apps.transfers.mixin import TransferAdmin
{% endif %}

if TYPE_CHECKING:
    # Whatever the theme is, to mypy its classes are Django's.
    from django.contrib import admin

    class ModelAdmin(admin.ModelAdmin[Any]): ...

    class StackedInline(admin.StackedInline[Any, Any]): ...

    class TabularInline(admin.TabularInline[Any, Any]): ...
else:
{% if cookiecutter.admin_theme == "unfold" %}
    from unfold.admin import ModelAdmin, StackedInline, TabularInline
{% else %}
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
{% endif %}

__all__ = ["ModelAdmin", "SiteModelAdmin", "StackedInline", "TabularInline"]


class SiteModelAdmin(
{% if "history" in cookiecutter.admin_extras %}
    HistoryAdmin,
{% endif %}
{% if "import_export" in cookiecutter.admin_extras %}
    TransferAdmin,
{% endif %}
    ModelAdmin,
):
    """What every admin class of the project derives from."""
