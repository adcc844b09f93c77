import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.mail import EmailMessage
from pytest_django import Settings

from apps.users.models import User
from tests.accounts.conftest import Browser, link_in, new_account


@pytest.mark.usefixtures("open_signup")
def test_signing_up_verifying_the_address_and_logging_in(
    browser: Browser, mailoutbox: list[EmailMessage]
) -> None:
    answer = browser.post("/accounts/signup/", new_account())

    assert answer["Location"] == "/accounts/confirm-email/"
    [mail] = mailoutbox
    assert mail.to == ["eve@example.com"]
    assert not browser.logged_in
    assert browser.log_in("eve@example.com")["Location"] == "/accounts/confirm-email/"
    assert not browser.logged_in

    link = link_in(mail)
    # Programs that look into mails open links, and must not verify an address by that.
    assert browser.get(link).status_code == 200
    assert not EmailAddress.objects.get().verified
    browser.post(link)

    assert browser.log_in("eve@example.com")["Location"] == "/accounts/email/"
    assert browser.logged_in


@pytest.mark.usefixtures("open_signup")
def test_whoever_signs_up_is_no_member_of_the_staff(browser: Browser) -> None:
    browser.post("/accounts/signup/", new_account() | {"is_staff": "on", "is_superuser": "on"})

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.usefixtures("open_signup")
def test_a_link_to_verify_works_once(browser: Browser, mailoutbox: list[EmailMessage]) -> None:
    browser.post("/accounts/signup/", new_account())
    link = link_in(mailoutbox[0])
    browser.post(link)

    again = browser.get(link)

    assert "expired or is invalid" in again.text


@pytest.mark.usefixtures("open_signup")
def test_a_link_to_verify_runs_out(
    browser: Browser, mailoutbox: list[EmailMessage], settings: Settings
) -> None:
    browser.post("/accounts/signup/", new_account())

    settings.ACCOUNT_EMAIL_CONFIRMATION_EXPIRE_DAYS = 0
    browser.post(link_in(mailoutbox[0]))

    assert not EmailAddress.objects.get().verified


@pytest.mark.usefixtures("open_signup")
def test_mails_name_the_project_and_point_to_it_whatever_host_was_asked(
    browser: Browser, mailoutbox: list[EmailMessage], settings: Settings
) -> None:
    browser.post("/accounts/signup/", new_account(), headers={"Host": "localhost"})

    [mail] = mailoutbox
    assert mail.subject.startswith(f"[{settings.ENV.title}] ")
    assert f"Hello from {settings.ENV.title}!" in mail.body
    assert "http://127.0.0.1:8000/accounts/confirm-email/" in mail.body
    assert "http://localhost" not in mail.body


@pytest.mark.usefixtures("open_signup")
def test_signing_up_does_not_tell_whether_an_address_is_known(
    browser: Browser, other_browser: Browser, user: User, mailoutbox: list[EmailMessage]
) -> None:
    known = browser.post("/accounts/signup/", new_account("other") | {"email": user.email})
    unknown = other_browser.post("/accounts/signup/", new_account("eve"))

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    pages = [
        visitor.get("/accounts/confirm-email/").text.replace(address, "ADDRESS")
        for visitor, address in ((browser, user.email), (other_browser, "eve@example.com"))
    ]
    assert pages[0] == pages[1]
    # Its owner learns it, and nobody else.
    assert [(mail.to, "already exists" in mail.body) for mail in mailoutbox] == [
        ([user.email], True),
        (["eve@example.com"], False),
    ]
    assert User.objects.count() == 2


@pytest.mark.usefixtures("open_signup")
@pytest.mark.parametrize("name", ["ann", "eve"])
def test_the_time_does_not_tell_whether_there_is_an_account(
    browser: Browser, user: User, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def encode(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return f"md5${salt}$"

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    browser.post("/accounts/signup/", new_account() | {"email": f"{name}@example.com"})

    assert len(hashed) == 1


def test_sign_up_is_closed_unless_it_is_opened(browser: Browser, settings: Settings) -> None:
    assert settings.ENV.signup == "closed"

    page = browser.post("/accounts/signup/", new_account())

    assert "closed" in page.text
    assert not User.objects.exists()


def test_the_login_page_leads_to_sign_up_only_when_it_is_open(
    browser: Browser, settings: Settings
) -> None:
    assert "/accounts/signup/" not in browser.get("/accounts/login/").text

    settings.ENV = settings.ENV.model_copy(update={"signup": "open"})

    assert "/accounts/signup/" in browser.get("/accounts/login/").text


@pytest.mark.usefixtures("open_signup")
def test_a_weak_password_is_refused_with_a_reason(browser: Browser) -> None:
    page = browser.post("/accounts/signup/", new_account("eve", "password"))

    assert "too common" in page.text
    assert not User.objects.exists()
