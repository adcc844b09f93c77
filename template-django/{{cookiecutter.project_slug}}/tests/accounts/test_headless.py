"""What a program does that signs people up and logs them in."""

from collections.abc import Callable

import pytest
from django.core.mail import EmailMessage
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.users.models import User
from tests.accounts.conftest import NEW_PASSWORD, Browser, Clock, link_in, new_account
from tests.users.factories import PASSWORD


def new_account_for_program() -> dict[str, str]:
    fields = new_account("eve")
    fields["password"] = fields.pop("password1")
    del fields["password2"]
    return fields


def ask_who_i_am(api: APIClient, token: str) -> object:
    answer = api.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    return answer.json()[User.USERNAME_FIELD] if answer.status_code == 200 else None


@pytest.mark.usefixtures("open_signup")
def test_a_program_signs_somebody_up_and_calls_the_api(
    browser: Browser, api: APIClient, mailoutbox: list[EmailMessage]
) -> None:
    signed_up = browser.ask("auth/signup", **new_account_for_program())
    assert signed_up.status_code == 401
    assert "access_token" not in signed_up.json()["meta"]

    key = link_in(mailoutbox[0]).rstrip("/").rpartition("/")[2]
    browser.ask("auth/email/verify", key=key)
    answer = browser.ask("auth/login", email="eve@example.com", password=PASSWORD)

    assert (
        ask_who_i_am(api, answer.json()["meta"]["access_token"])
        == User.objects.get().get_username()
    )


def test_a_password_alone_gives_no_token_when_there_is_a_second_factor(
    browser: Browser, api: APIClient, user: User, clock: Clock, enrol: Callable[[User], str]
) -> None:
    secret = enrol(user)

    first = browser.ask("auth/login", email=user.email, password=PASSWORD)

    assert first.status_code == 401
    assert "access_token" not in first.json()["meta"]
    session = first.json()["meta"]["session_token"]
    second = browser.ask("auth/2fa/authenticate", session=session, code=clock.code(secret))
    assert ask_who_i_am(api, second.json()["meta"]["access_token"]) == user.get_username()


def test_the_apis_own_login_does_not_go_around_the_second_factor(
    api: APIClient, user: User, enrol: Callable[[User], str]
) -> None:
    enrol(user)

    credentials = {User.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    answer = api.post("/api/auth/token", credentials, format="json")

    assert answer.status_code == 401


def test_a_new_password_ends_what_the_old_one_gave_to_programs(
    browser: Browser, api: APIClient, user: User, mailoutbox: list[EmailMessage]
) -> None:
    login = browser.ask("auth/login", email=user.email, password=PASSWORD).json()["meta"]

    browser.ask("auth/password/request", email=user.email)
    key = link_in(mailoutbox[0]).rstrip("/").rpartition("/")[2]
    browser.ask("auth/password/reset", key=key, password=NEW_PASSWORD)

    assert ask_who_i_am(api, login["access_token"]) is None
    session = {"X-Session-Token": login["session_token"]}
    assert browser.get("/_allauth/app/v1/auth/session", headers=session).status_code in (401, 410)
    assert browser.ask("auth/login", email=user.email, password=NEW_PASSWORD).status_code == 200


def test_programs_learn_that_sign_up_is_closed(browser: Browser) -> None:
    answer = browser.ask("auth/signup", **new_account_for_program())

    assert answer.status_code == 403
    assert not User.objects.exists()


def test_programs_do_not_learn_whether_an_address_is_known(browser: Browser, user: User) -> None:
    for path, fields in (("auth/login", {"password": "wrong"}), ("auth/password/request", {})):
        known = browser.ask(path, email=user.email, **fields)
        unknown = browser.ask(path, email="nobody@example.com", **fields)

        assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())


def test_programs_that_ask_too_often_are_answered_429(
    browser: Browser, user: User, settings: Settings
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    browser.ask("auth/login", email=user.email, password=NEW_PASSWORD)

    assert browser.ask("auth/login", email=user.email, password=PASSWORD).status_code == 429


def test_the_headless_interface_describes_itself(browser: Browser) -> None:
    schema = browser.get("/_allauth/openapi.json").json()

    assert "/_allauth/app/v1/auth/login" in schema["paths"]
    assert not any("/browser/" in path for path in schema["paths"])


@pytest.mark.parametrize("method", ["GET", "POST", "TRACE"])
def test_accounts_have_no_phone_number(browser: Browser, method: str) -> None:
    answer = browser.generic(method, "/_allauth/app/v1/account/phone", "{}", "application/json")

    assert answer.status_code == 404
    assert "no phone number" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["auth/login", "auth/signup", "auth/password/request"])
@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, '{"a":' * 100_000, '{"email": ' + "9" * 5000 + "}", "{", "\xff"],
    ids=["deep list", "deep object", "long number", "cut off", "no UTF-8"],
)
def test_a_body_that_cannot_be_read_is_refused(browser: Browser, path: str, body: str) -> None:
    answer = browser.post(
        f"/_allauth/app/v1/{path}", body.encode("latin-1"), content_type="application/json"
    )

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


def test_who_asks_too_often_is_told_as_everywhere(browser: Browser, user: User) -> None:
    answers = [browser.ask("auth/password/request", email=user.email) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1]["Content-Type"] == "application/problem+json"
    assert answers[-1].json()["status"] == 429
    assert answers[-1]["Retry-After"] == "60"


def test_a_school_behind_one_address_logs_in(browser: Browser, user: User) -> None:
    answers = [browser.ask("auth/login", email=user.email, password=PASSWORD) for _ in range(40)]

    assert {answer.status_code for answer in answers} == {200}
