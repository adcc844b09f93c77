from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.core.mail import EmailMessage
from pydantic import ValidationError
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.users.models import User
from config.accounts import social_providers
from config.environment import Environment, explain
from tests.accounts.conftest import Browser
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider, running_provider
from tests.accounts.test_headless import ask_who_i_am


def environment(**values: object) -> Environment:
    return Environment(environment="development", **values)  # type: ignore[arg-type]  # as the environment gives them


@pytest.fixture(scope="module")
def one_provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(one_provider: Provider, settings: Settings) -> Iterator[Provider]:
    env = environment(
        oidc_name="School login",
        oidc_url=one_provider.url,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
    )
    settings.SOCIALACCOUNT_PROVIDERS = social_providers(env)
    before = dict(one_provider.claims)
    yield one_provider
    one_provider.claims = before


@pytest.fixture
def link_by_email(settings: Settings) -> None:
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True


def log_in_with(provider: Provider, browser: Browser, process: str = "login") -> Any:
    there = browser.post(f"/accounts/oidc/oidc/login/?process={process}")
    return browser.get(provider.consent(there["Location"]))


@pytest.mark.usefixtures("open_signup")
def test_somebody_new_whose_address_the_provider_verified_is_in(
    browser: Browser, provider: Provider
) -> None:
    provider.claims["email_verified"] = True

    log_in_with(provider, browser)

    user = User.objects.get()
    assert (user.email, user.first_name, user.is_staff) == ("ann@example.com", "Ann", False)
    assert browser.logged_in
    browser.post("/accounts/logout/")
    log_in_with(provider, browser)
    assert browser.logged_in
    assert User.objects.count() == 1


@pytest.mark.usefixtures("open_signup")
@pytest.mark.parametrize("verified", [False, "false", None])
def test_an_address_that_the_provider_did_not_verify_is_verified_by_mail(
    browser: Browser, provider: Provider, mailoutbox: list[EmailMessage], verified: object
) -> None:
    provider.claims["email_verified"] = verified

    answer = log_in_with(provider, browser)

    assert answer["Location"] == "/accounts/confirm-email/"
    assert not browser.logged_in
    assert not EmailAddress.objects.get().verified
    assert mailoutbox[0].to == ["ann@example.com"]


@pytest.mark.usefixtures("link_by_email")
def test_a_verified_address_opens_its_account_when_providers_are_trusted_with_that(
    browser: Browser, user: User, provider: Provider
) -> None:
    provider.claims["email_verified"] = True

    log_in_with(provider, browser)

    assert browser.session["_auth_user_id"] == str(user.pk)
    assert SocialAccount.objects.get().user == user
    user.refresh_from_db()
    assert user.has_usable_password()


def test_a_verified_address_opens_nothing_when_providers_are_not_trusted_with_that(
    browser: Browser, user: User, provider: Provider
) -> None:
    provider.claims["email_verified"] = True

    log_in_with(provider, browser)

    assert not browser.logged_in
    assert not SocialAccount.objects.exists()


@pytest.mark.usefixtures("link_by_email", "open_signup")
@pytest.mark.parametrize("verified", [False, "false", None])
def test_an_address_that_the_provider_did_not_verify_opens_no_account(
    browser: Browser,
    user: User,
    provider: Provider,
    mailoutbox: list[EmailMessage],
    verified: object,
) -> None:
    provider.claims["email_verified"] = verified

    log_in_with(provider, browser)

    assert not browser.logged_in
    assert not SocialAccount.objects.exists()
    assert "already exists" in mailoutbox[0].body


def test_closed_sign_up_is_closed_for_providers_too(browser: Browser, provider: Provider) -> None:
    provider.claims["email_verified"] = True

    assert "closed" in log_in_with(provider, browser).text
    assert not User.objects.exists()


def test_whoever_is_logged_in_can_connect_a_provider(
    browser: Browser, user: User, provider: Provider
) -> None:
    provider.claims["email"] = "another@example.com"
    browser.log_in(user.email)
    browser.confirm_password()

    log_in_with(provider, browser, process="connect")

    assert SocialAccount.objects.get().user == user


def test_an_answer_that_nobody_asked_for_is_refused(browser: Browser, provider: Provider) -> None:
    page = browser.get("/accounts/oidc/oidc/login/callback/?code=once&state=forged")

    assert not browser.logged_in
    assert not User.objects.exists()
    assert page.status_code == 401


def test_a_second_factor_is_asked_for_after_the_provider_too(
    browser: Browser, user: User, provider: Provider, enrol: Any
) -> None:
    SocialAccount.objects.create(user=user, provider="oidc", uid="7")
    enrol(user)

    answer = log_in_with(provider, browser)

    assert answer["Location"].startswith("/accounts/2fa/authenticate/")
    assert not browser.logged_in


@pytest.mark.usefixtures("open_signup")
def test_a_program_logs_in_with_a_signed_token_of_the_provider(
    browser: Browser, api: APIClient, provider: Provider
) -> None:
    token = {"client_id": CLIENT_ID, "id_token": provider.id_token(email_verified=True)}

    answer = browser.ask("auth/provider/token", provider="oidc", process="login", token=token)

    user = User.objects.get()
    assert ask_who_i_am(api, answer.json()["meta"]["access_token"]) == user.get_username()


@pytest.mark.usefixtures("open_signup")
@pytest.mark.parametrize(
    "forged", [{"aud": "another-client"}, {"iss": "x"}, {"exp": 1}, "signature"]
)
def test_a_token_that_is_not_from_the_provider_for_us_is_refused(
    browser: Browser, provider: Provider, forged: Any
) -> None:
    issuer = provider
    if forged == "signature":
        issuer, forged = Provider(), {"iss": provider.url}
    token = {"client_id": CLIENT_ID, "id_token": issuer.id_token(**forged)}

    answer = browser.ask("auth/provider/token", provider="oidc", process="login", token=token)

    assert answer.status_code == 400
    assert not User.objects.exists()


def test_the_login_page_shows_the_providers_that_are_configured(
    browser: Browser, provider: Provider, settings: Settings
) -> None:
    assert "School login" in browser.get("/accounts/login/").text

    settings.SOCIALACCOUNT_PROVIDERS = social_providers(environment())

    assert "3rdparty" not in browser.get("/accounts/login/").text
    assert "School login" not in browser.get("/accounts/login/").text


def test_google_needs_only_its_client_id_and_secret(browser: Browser, settings: Settings) -> None:
    env = environment(google_client_id="ours", google_client_secret=CLIENT_SECRET)
    settings.SOCIALACCOUNT_PROVIDERS = social_providers(env)

    answer = browser.post("/accounts/google/login/")

    assert answer["Location"].startswith("https://accounts.google.com/")
    assert "client_id=ours" in answer["Location"]
    assert "code_challenge=" in answer["Location"]


def test_only_the_form_that_leaves_for_a_provider_may_leave(
    browser: Browser, provider: Provider, settings: Settings
) -> None:
    excepted = settings.CONTENT_SECURITY_POLICY_EXCEPTIONS.items()
    assert all(
        set(exception) == {"form-action"}
        for path, exception in excepted
        if path.startswith("/accounts/")
    )
    leaving = browser.get("/accounts/oidc/oidc/login/")["Content-Security-Policy"]
    staying = browser.get("/accounts/login/")["Content-Security-Policy"]

    assert "form-action 'self' https:" in leaving
    assert "form-action 'self';" in f"{staying};"


def test_half_a_provider_is_refused_with_what_is_missing() -> None:
    with pytest.raises(ValidationError) as refused:
        environment(oidc_url="https://login.example.com", oidc_client_id="ours")

    assert explain(refused.value) == ["a login provider also needs APP_OIDC_CLIENT_SECRET"]
