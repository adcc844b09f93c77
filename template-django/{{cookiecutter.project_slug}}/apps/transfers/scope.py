from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest


@dataclass(frozen=True)
class Scope:
    """What one user may see and change: what the admin shows them, also outside of a request."""

    user: AbstractBaseUser | AnonymousUser

    @property
    def user_id(self) -> int:
        if self.user.pk is None:
            raise PermissionDenied
        return int(self.user.pk)

    @property
    def request(self) -> HttpRequest:
        request = HttpRequest()
        request.user = self.user  # type: ignore[assignment]  # django-stubs name a concrete class
        return request

    def admin_of(self, model: type[Model]) -> "admin.ModelAdmin[Any]":
        return admin.site.get_model_admin(model)

    def rows(self, model: type[Model]) -> QuerySet[Any]:
        return self.admin_of(model).get_queryset(self.request).order_by().select_related(None)

    def choices(self, model: type[Model], name: str) -> QuerySet[Any] | None:
        """What the form of the model offers the user in a foreign key, if it has that field."""
        field: Any = model._meta.get_field(name)
        form_field = self.admin_of(model).formfield_for_dbfield(field, self.request)
        return getattr(form_field, "queryset", None)

    def may_change(self, row: Model) -> bool:
        return self.admin_of(type(row)).has_change_permission(self.request, row)

    def may_import(self, model: type[Model]) -> bool:
        """Asked when a file comes and once more when it is imported: much may have changed."""
        request, model_admin = self.request, self.admin_of(model)
        return (
            bool(self.user.is_active and getattr(self.user, "is_staff", False))
            and model_admin.has_add_permission(request)
            and model_admin.has_change_permission(request)
        )
