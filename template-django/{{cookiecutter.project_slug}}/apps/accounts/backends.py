from functools import partial
from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.http import HttpRequest

from apps.users.models import User
from apps.users.throttle import when_it_is_time


class PasswordBackend(AuthenticationBackend):
    """Refuse a password alone where nobody asks for the rest.

    allauth goes on to verify the address and the second factor, and says so with `more_follows`.
    Whoever else checks a password, such as the API's own login, would let in accounts that need more.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        more_follows = credentials.pop("more_follows", False)
        account = username or credentials.get("email")
        check = partial(
            super().authenticate, request, username=username, password=password, **credentials
        )
        user = when_it_is_time(request, account, password, check)
        if isinstance(user, User) and (more_follows or not needs_more_than_a_password(user)):
            return user
        return None


def needs_more_than_a_password(user: User) -> bool:
    if Authenticator.objects.filter(user_id=user.pk).exists():
        return True
    verified = EmailAddress.objects.filter(user_id=user.pk).values_list("verified", flat=True)
    return bool(verified) and not any(verified)
