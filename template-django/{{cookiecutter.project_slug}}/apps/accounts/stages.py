import secrets

from allauth.account.stages import EmailVerificationStage
from django.contrib.auth.hashers import make_password
from django.http import HttpResponse

from apps.users.models import User


class VerifyAddressStage(EmailVerificationStage):
    """An account without an e-mail address has none to verify: it was made by someone inside,
    since signing up asks for one."""

    def handle(self) -> tuple[HttpResponse | None, bool]:
        user = self.login.user
        if user is None:
            # Whoever signs up with an address that has an account must not see that by the time:
            # a new account's password is hashed.
            make_password(secrets.token_urlsafe())
        if isinstance(user, User) and not user.email:
            return None, True
        response, go_on = super().handle()  # type: ignore[no-untyped-call]  # allauth tells no types
        return response, go_on
