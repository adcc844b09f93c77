from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress, Login
from django.contrib.auth import authenticate
from django.core.cache import cache, caches
from django.core.mail import EmailMessage
from django.test import RequestFactory
from pytest_django import Settings

from apps.accounts.addresses import vouch_for_address
from apps.accounts.stages import VerifyAddressStage
from apps.users.models import User
from tests.accounts.conftest import NEW_PASSWORD, Browser, Clock
from tests.users.factories import PASSWORD, make_user


def test_an_account_made_by_someone_inside_can_log_in_at_once(
    browser: Browser, administrator: User, mailoutbox: list[EmailMessage]
) -> None:
    answer = browser.log_in(administrator.email, next="/admin/")

    assert answer["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    assert mailoutbox == []
    assert EmailAddress.objects.get(user=administrator).verified


def test_the_staff_lands_in_the_admin(browser: Browser, administrator: User) -> None:
    assert browser.log_in(administrator.email)["Location"] == "/admin/"


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    browser: Browser, user: User
) -> None:
    def page(login: str) -> str:
        text: str = browser.log_in(login, "wrong").text
        return text.replace(login, "LOGIN")

    def without_token(text: str) -> list[str]:
        return [line for line in text.splitlines() if "csrfmiddlewaretoken" not in line]

    assert without_token(page(user.email)) == without_token(page("nobody@example.com"))


def test_an_account_that_is_not_active_cannot_log_in(browser: Browser) -> None:
    make_user("left", is_active=False)

    assert browser.log_in("left@example.com")["Location"] == "/accounts/inactive/"
    assert not browser.logged_in


@pytest.mark.parametrize(
    "next_page", ["https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_login_leads_to_no_other_site(browser: Browser, user: User, next_page: str) -> None:
    assert browser.log_in(user.email, next=next_page)["Location"] == "/accounts/email/"


def test_the_admin_asks_for_login_at_the_page_that_knows_second_factors(
    browser: Browser, administrator: User
) -> None:
    refused = browser.get("/admin/", follow=True)

    assert refused.redirect_chain[-1][0] == "/accounts/login/?next=%2Fadmin%2F"
    # Posting to the admin's own form does not go around it.
    credentials = {"username": administrator.get_username(), "password": PASSWORD}
    browser.post("/admin/login/", credentials)
    assert not browser.logged_in


def test_the_admin_changes_ones_password_at_the_page_that_ends_the_rest(
    browser: Browser, administrator: User
) -> None:
    browser.log_in(administrator.email)

    assert browser.get("/admin/password_change/")["Location"] == "/accounts/password/change/"


def test_whoever_is_not_staff_is_refused_by_the_admin_and_not_sent_around(
    browser: Browser, user: User
) -> None:
    browser.log_in(user.email)

    answer = browser.get("/admin/", follow=True)

    assert answer.status_code == 403
    assert len(answer.redirect_chain) == 1


def test_a_second_factor_counts_for_the_admin(
    browser: Browser, administrator: User, clock: Clock, enrol: Callable[[User], str]
) -> None:
    secret = enrol(administrator)

    answer = browser.log_in(administrator.email, next="/admin/")

    assert answer["Location"].startswith("/accounts/2fa/authenticate/")
    assert browser.get("/admin/").status_code == 302
    browser.post(answer["Location"], {"code": clock.code(secret)})
    assert browser.get("/admin/").status_code == 200


def test_too_many_logins_from_one_place_are_answered_429(
    browser: Browser, user: User, settings: Settings
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "2/m/ip"}
    for _ in range(2):
        browser.log_in(user.email, "wrong")

    answer = browser.log_in(user.email)

    assert answer.status_code == 429
    assert "Wait a few minutes" in answer.text
    assert not browser.logged_in


def test_after_five_wrong_passwords_the_right_one_has_to_wait(browser: Browser, user: User) -> None:
    for _ in range(5):
        browser.log_in(user.email, "wrong")

    assert "Too many attempts to log in" in browser.log_in(user.email).text
    assert not browser.logged_in


@pytest.mark.django_db
def test_attempts_are_counted_for_all_processes_together(settings: Settings) -> None:
    from config.accounts import CACHES

    settings.CACHES = CACHES
    cache.add("attempt", 1)

    # A new connection to the cache, as another process has it.
    assert caches.create_connection("default").get("attempt") == 1


def test_a_new_password_ends_the_other_sessions(
    browser: Browser, other_browser: Browser, user: User
) -> None:
    for visitor in (browser, other_browser):
        visitor.log_in(user.email)

    browser.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
    )

    assert browser.get("/accounts/email/").status_code == 200
    assert other_browser.get("/accounts/email/")["Location"].startswith("/accounts/login/")


def test_the_api_does_not_take_a_password_alone_when_the_account_needs_more(
    user: User, enrol: Callable[[User], str]
) -> None:
    credentials = {User.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    assert authenticate(None, **credentials) == user

    address = EmailAddress.objects.create(user=user, email=user.email, verified=False)
    assert authenticate(None, **credentials) is None

    address.set_verified()
    assert authenticate(None, **credentials) == user

    enrol(user)
    assert authenticate(None, **credentials) is None


def test_an_address_that_an_administrator_changed_is_the_only_one_that_counts(
    browser: Browser, user: User
) -> None:
    old = user.email
    browser.log_in(old)
    browser.post("/accounts/logout/")

    user.email = "new@example.com"
    user.save()

    browser.log_in(old)
    assert not browser.logged_in
    browser.log_in("new@example.com")
    assert browser.logged_in
    assert [a.email for a in EmailAddress.objects.filter(user=user)] == ["new@example.com"]


def test_saving_something_else_leaves_the_addresses_alone(user: User) -> None:
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    EmailAddress.objects.create(user=user, email="second@example.com", verified=True)

    user.first_name = "Ann"
    user.save()
    user.save(update_fields=["first_name"])

    assert EmailAddress.objects.filter(user=user).count() == 2


def test_an_address_that_is_verified_for_another_account_is_not_vouched_for(user: User) -> None:
    EmailAddress.objects.create(user=make_user("other"), email=user.email, verified=True)

    assert not vouch_for_address(user)
    assert not EmailAddress.objects.filter(user=user).exists()


def test_an_account_without_an_address_has_none_to_verify() -> None:
    request = RequestFactory().get("/")
    login = Login(user=User(email=""), email_verification="mandatory")

    assert VerifyAddressStage(None, request, login).handle() == (None, True)


def test_pages_have_no_inline_script_or_style_and_ask_for_nothing_from_elsewhere(
    browser: Browser, user: User, settings: Settings
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"signup": "open"})
    pages = [browser.get(f"/accounts/{page}/") for page in ("login", "signup", "password/reset")]
    browser.log_in(user.email)
    browser.confirm_password()
    own = ("email", "password/change", "2fa", "2fa/totp/activate", "3rdparty", "logout")
    pages += [browser.get(f"/accounts/{page}/") for page in own]

    for page in pages:
        assert page.status_code == 200
        assert "'unsafe-inline'" not in page["Content-Security-Policy"]
        assert " style=" not in page.text
        assert "<script>" not in page.text
        assert 'src="http' not in page.text
