import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.core.mail import EmailMessage
from django.test import Client, TestCase
from pytest_django import Settings

from apps.users.models import User
from tests.users.factories import PASSWORD

NEW_PASSWORD = f"another-{PASSWORD}"


class Browser(Client):
    """What a request leaves for after its commit is done when the request ends."""

    def request(self, **request: Any) -> Any:
        with TestCase.captureOnCommitCallbacks(execute=True):
            return super().request(**request)

    @property
    def logged_in(self) -> bool:
        return "_auth_user_id" in self.session

    def log_in(self, login: str, password: str = PASSWORD, **more: str) -> Any:
        return self.post("/accounts/login/", {"login": login, "password": password, **more})

    def confirm_password(self) -> None:
        """What changes how one logs in asks for it again."""
        self.post("/accounts/reauthenticate/", {"password": PASSWORD})

    def ask(self, path: str, /, session: str = "", **fields: Any) -> Any:
        """Talk to /_allauth/ as a program does: without cookies, with a session token."""
        headers = {"X-Session-Token": session} if session else {}
        self.cookies.clear()
        return self.post(
            f"/_allauth/app/v1/{path}", fields, content_type="application/json", headers=headers
        )


@pytest.fixture
def browser(db: None) -> Browser:
    return Browser()


@pytest.fixture
def other_browser(db: None) -> Browser:
    return Browser()


@pytest.fixture
def open_signup(settings: Settings) -> None:
    settings.ENV = settings.ENV.model_copy(update={"signup": "open"})


class Clock:
    """Stands still, so that no code runs out in the middle of a test."""

    now = 1_800_000_000

    def time(self) -> float:
        return self.now

    def code(self, secret: str) -> str:
        return totp.format_hotp_value(totp.hotp_value(secret, self.now // 30))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(totp, "time", clock)
    return clock


@pytest.fixture
def enrol() -> Callable[[User], str]:
    """Gives a user a second factor and returns its secret."""

    def enrol(user: User) -> str:
        secret = totp.generate_totp_secret()
        totp.TOTP.activate(user, secret)
        RecoveryCodes.activate(user)
        return secret

    return enrol


def new_account(name: str = "eve", password: str = PASSWORD) -> dict[str, str]:
    """What the sign-up form asks for."""
    fields = {
        "username": name,
        "email": f"{name}@example.com",
        "password1": password,
        "password2": password,
    }
    if User.USERNAME_FIELD == "email":
        del fields["username"]
    return fields


def link_in(mail: EmailMessage) -> str:
    """The path of the link in a mail, which points to where the project is."""
    found = re.search(r"http://127\.0\.0\.1:8000(/\S+)", str(mail.body))
    assert found, mail.body
    return found[1]
