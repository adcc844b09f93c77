import re
from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from cryptography.fernet import InvalidToken
from pytest_django import Settings

from apps.accounts.adapters import MFAAdapter
from apps.users.models import User
from tests.accounts.conftest import Browser, Clock
from tests.users.factories import make_user


def test_enrolling_and_logging_in_with_a_code(browser: Browser, user: User, clock: Clock) -> None:
    browser.log_in(user.email)
    browser.confirm_password()
    page = browser.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    assert "<svg" in page.text

    browser.post("/accounts/2fa/totp/activate/", {"code": clock.code(secret)})
    browser.post("/accounts/logout/")
    browser.log_in(user.email)
    assert not browser.logged_in
    browser.post("/accounts/2fa/authenticate/", {"code": clock.code(secret)})

    assert browser.logged_in


def test_a_code_works_once(
    browser: Browser,
    other_browser: Browser,
    user: User,
    clock: Clock,
    enrol: Callable[[User], str],
) -> None:
    secret = enrol(user)
    for visitor in (browser, other_browser):
        visitor.log_in(user.email)
        visitor.post("/accounts/2fa/authenticate/", {"code": clock.code(secret)})

    assert (browser.logged_in, other_browser.logged_in) == (True, False)


def test_a_wrong_code_and_one_that_ran_out_are_refused(
    browser: Browser, user: User, clock: Clock, enrol: Callable[[User], str]
) -> None:
    secret = enrol(user)
    old = clock.code(secret)
    clock.now += 60
    browser.log_in(user.email)

    for code in (old, "000000" if clock.code(secret) != "000000" else "000001"):
        page = browser.post("/accounts/2fa/authenticate/", {"code": code})
        assert "Incorrect code." in page.text

    assert not browser.logged_in


def test_a_recovery_code_works_once(
    browser: Browser, other_browser: Browser, user: User, enrol: Callable[[User], str]
) -> None:
    enrol(user)
    [first, *_] = RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).generate_codes()

    for visitor in (browser, other_browser):
        visitor.log_in(user.email)
        visitor.post("/accounts/2fa/authenticate/", {"code": first})

    assert (browser.logged_in, other_browser.logged_in) == (True, False)


def test_security_keys_are_listed_and_asked_for_by_scripts_of_our_own_server(
    browser: Browser, other_browser: Browser, user: User, enrol: Callable[[User], str]
) -> None:
    enrol(user)
    Authenticator.objects.create(user=make_user("bob"), type="webauthn", data={"name": "Blue"})
    browser.force_login(User.objects.get(email="bob@example.com"))
    other_browser.log_in(user.email)

    listed = browser.get("/accounts/2fa/webauthn/")
    asked = other_browser.get("/accounts/2fa/authenticate/")

    assert "Blue" in listed.text
    scripts = re.findall(r'<script src="([^"]+)"', asked.text)
    assert "/static/mfa/js/webauthn.js" in scripts
    assert all(script.startswith("/static/") for script in scripts)


def test_the_database_alone_does_not_give_the_secret(
    user: User, enrol: Callable[[User], str], settings: Settings
) -> None:
    secret = enrol(user)
    kept = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in kept

    old_key, settings.SECRET_KEY = settings.SECRET_KEY, "another-key"
    with pytest.raises(InvalidToken):
        MFAAdapter().decrypt(kept)
    settings.SECRET_KEY_FALLBACKS = [old_key]
    assert MFAAdapter().decrypt(kept) == secret


def test_the_admin_shows_who_has_a_second_factor_but_no_secret(
    browser: Browser, administrator: User, enrol: Callable[[User], str]
) -> None:
    enrol(make_user("ann"))
    browser.force_login(administrator)
    row = Authenticator.objects.get(type="totp")

    listed = browser.get("/admin/mfa/authenticator/")
    shown = browser.get(f"/admin/mfa/authenticator/{row.pk}/change/")

    assert "ann" in listed.text
    assert row.data["secret"] not in shown.text
    assert browser.get("/admin/mfa/authenticator/add/").status_code == 403


@pytest.mark.parametrize("model", ["account/emailaddress", "socialaccount/socialaccount"])
def test_addresses_and_connections_are_in_the_admin(
    browser: Browser, administrator: User, model: str
) -> None:
    browser.force_login(administrator)

    assert browser.get(f"/admin/{model}/").status_code == 200


def test_keys_of_providers_are_not_in_the_admin(browser: Browser, administrator: User) -> None:
    browser.force_login(administrator)

    assert browser.get("/admin/socialaccount/socialapp/").status_code == 404
