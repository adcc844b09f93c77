from typing import Any

from django.db.models import QuerySet
from import_export.fields import Field

from apps.transfers.resources import Row, TransferResource, register
from apps.transfers.widgets import NativeWidget, TextWidget, YesNoWidget
from apps.users.models import User


class LoginWidget(TextWidget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> str:
        return value.lower() if User.USERNAME_FIELD == "email" else value


@register
class UserResource(TransferResource):
    """People, without rights and passwords: neither leaves, and neither comes in by a file.

    Who comes in by a file has no password until one is set or reset.
    """

    login = Field(User.USERNAME_FIELD, User.USERNAME_FIELD, LoginWidget())
    first_name = Field("first_name", "first name", TextWidget())
    last_name = Field("last_name", "last name", TextWidget())
    is_active = Field("is_active", "active", YesNoWidget())
    is_staff = Field("is_staff", "staff", NativeWidget(), readonly=True)
    date_joined = Field("date_joined", "joined", NativeWidget(), readonly=True)
    last_login = Field("last_login", "last login", NativeWidget(), readonly=True)

    class Meta:
        model = User
        import_id_fields = ("login",)
        fields = (
            "login",
            "first_name",
            "last_name",
            "is_active",
            "is_staff",
            "date_joined",
            "last_login",
        )

    def get_queryset(self) -> QuerySet[Any]:
        people = super().get_queryset()
        mighty = getattr(self.scope.user, "is_superuser", False)
        return people if mighty else people.filter(is_superuser=False)

    def after_init_instance(self, instance: User, new: bool, row: Row, **kwargs: Any) -> None:
        super().after_init_instance(instance, new, row, **kwargs)
        if new:
            instance.set_unusable_password()
