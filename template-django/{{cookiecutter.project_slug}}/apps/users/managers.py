from typing import TYPE_CHECKING, Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import UserManager as DjangoUserManager

if TYPE_CHECKING:
    from apps.users.models import User


class UserManager(DjangoUserManager["User"]):
    """Makes users that have an e-mail and no user name."""

    use_in_migrations = False

    def create_user(  # type: ignore[override]  # no user name
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        if not email:
            raise ValueError("A user needs an e-mail.")
        return self.create(email=email, password=make_password(password), **fields)

    def create_superuser(  # type: ignore[override]  # no user name
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        fields |= {"is_staff": True, "is_superuser": True}
        return self.create_user(email, password, **fields)
