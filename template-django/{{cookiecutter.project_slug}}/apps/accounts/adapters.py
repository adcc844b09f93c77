"""Where django-allauth asks the project."""

import base64
import hashlib
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.headless.adapter import DefaultHeadlessAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser
from django.core.mail import EmailMessage
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.encoding import force_bytes

from apps.accounts.addresses import vouch_for_address
from apps.core.errors import error_response
from apps.users.models import User


class Site(NamedTuple):
    name: str
    domain: str


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.ENV.signup == "open"

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        return super().authenticate(request, more_follows=True, **credentials)

    def pre_login(
        self, request: HttpRequest, user: AbstractBaseUser, **login: Any
    ) -> HttpResponse | None:
        assert isinstance(user, User)
        vouch_for_address(user)
        return super().pre_login(request, user, **login)

    def get_login_stages(self) -> list[str]:
        ours = {
            "allauth.account.stages.EmailVerificationStage": "apps.accounts.stages.VerifyAddressStage"
        }
        return [ours.get(stage, stage) for stage in super().get_login_stages()]

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        user = request.user
        return reverse("admin:index" if user.is_staff else "account_email")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send after the commit: no mail about what did not happen."""
        site = Site(settings.ENV.title, urlsplit(settings.PUBLIC_URL).netloc)
        message = self.render_mail(
            template_prefix, email, {"email": email, "current_site": site, **context}
        )
        transaction.on_commit(lambda: deliver(message, self.request))


def deliver(message: EmailMessage, request: HttpRequest) -> None:
    try:
        message.send()
    except OSError as error:  # what smtplib raises, too
        structlog.get_logger().error("mail_not_sent", reason=str(error))
        answer = error_response(request, 503, "The e-mail could not be sent: try again later.")
        raise ImmediateHttpResponse(answer) from error


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    def populate_user(
        self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]
    ) -> User:
        # Some providers write email_verified as text, and the text "false" is true.
        for address in sociallogin.email_addresses:
            address.verified = address.verified in (True, "true")
        user: User = super().populate_user(request, sociallogin, data)
        return user

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[AbstractUser, str] | None:
        found = super().authenticate_by_email(sociallogin)
        if found:
            # Else the account's password would be taken for a stranger's and wiped.
            assert isinstance(found[0], User)
            vouch_for_address(found[0])
        return found


class HeadlessAdapter(DefaultHeadlessAdapter):
    def get_frontend_url(self, urlname: str, **kwargs: Any) -> str:
        """Links in mails point to APP_PUBLIC_URL, whatever host the request named."""
        if urlname == "account_reset_password_from_key":
            uid, _, key = kwargs["key"].partition("-")
            kwargs = {"uidb36": uid, "key": key}
        return settings.PUBLIC_URL + reverse(urlname, kwargs=kwargs)


class MFAAdapter(DefaultMFAAdapter):
    """Keeps the secrets of second factors encrypted. A new SECRET_KEY needs the old one among
    SECRET_KEY_FALLBACKS, or people must enrol again."""

    def encrypt(self, text: str) -> str:
        return fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return fernet().decrypt(encrypted_text.encode()).decode()


def fernet() -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [
        hashlib.sha256(b"second factor" + force_bytes(secret)).digest() for secret in secrets
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
