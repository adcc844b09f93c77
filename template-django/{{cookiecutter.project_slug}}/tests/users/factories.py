from typing import Any

from apps.users.models import User

PASSWORD = "a-password-for-tests"  # noqa: S105 - of users that exist in tests only


def make_user(name: str = "ann", **fields: Any) -> User:
    """The user ann@example.com, whose password is PASSWORD."""
    login = {"email": f"{name}@example.com", "username": name}
    if User.USERNAME_FIELD == "email":
        del login["username"]
    return User.objects.create_user(**(login | {"password": PASSWORD} | fields))
