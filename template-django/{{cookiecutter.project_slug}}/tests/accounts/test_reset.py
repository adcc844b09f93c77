import re
from datetime import timedelta

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from pytest_django import Settings

from apps.users.models import User
from tests.accounts.conftest import NEW_PASSWORD, Browser, link_in
from tests.users.factories import make_user


def open_form(browser: Browser, link: str) -> str:
    """Follow the link: it hides its key from the address that other sites could see."""
    answer = browser.get(link)
    path: str = answer["Location"] if answer.status_code == 302 else link
    return path


def set_password(browser: Browser, form: str) -> None:
    browser.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})


def test_a_forgotten_password_is_replaced_and_ends_every_session(
    browser: Browser, other_browser: Browser, user: User, mailoutbox: list[EmailMessage]
) -> None:
    other_browser.log_in(user.email)

    browser.post("/accounts/password/reset/", {"email": user.email})
    set_password(browser, open_form(browser, link_in(mailoutbox[0])))

    browser.log_in(user.email)
    assert not browser.logged_in
    browser.log_in(user.email, NEW_PASSWORD)
    assert browser.logged_in
    assert other_browser.get("/accounts/email/").status_code == 302
    assert "has been reset" in mailoutbox[1].body


def test_a_link_to_reset_works_once(
    browser: Browser, other_browser: Browser, user: User, mailoutbox: list[EmailMessage]
) -> None:
    browser.post("/accounts/password/reset/", {"email": user.email})
    link = link_in(mailoutbox[0])
    set_password(browser, open_form(browser, link))

    assert "Bad Token" in other_browser.get(link).text


def test_a_link_to_reset_runs_out(
    browser: Browser, user: User, mailoutbox: list[EmailMessage], settings: Settings
) -> None:
    assert timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT) <= timedelta(hours=1)
    browser.post("/accounts/password/reset/", {"email": user.email})

    settings.PASSWORD_RESET_TIMEOUT = -1

    assert "Bad Token" in browser.get(link_in(mailoutbox[0])).text


def test_asking_for_a_reset_does_not_tell_whether_an_address_is_known(
    browser: Browser, user: User, mailoutbox: list[EmailMessage]
) -> None:
    answers = [
        browser.post("/accounts/password/reset/", {"email": email}, follow=True)
        for email in (user.email, "nobody@example.com")
    ]

    first, second = (re.sub(r'csrf[^>]*value="[^"]*"', "", answer.text) for answer in answers)
    assert first == second
    # The stranger's mail says that there is no account, and has no key in it.
    assert "/key/" in mailoutbox[0].body
    assert "/key/" not in mailoutbox[1].body


def test_no_mail_leaves_before_the_commit(
    client: Client, user: User, mailoutbox: list[EmailMessage]
) -> None:
    client.post("/accounts/password/reset/", {"email": user.email})

    assert mailoutbox == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com"])
def test_a_mail_server_that_is_down_is_named_and_tells_nothing_else(
    client: Client, settings: Settings, email: str
) -> None:
    make_user("ann")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_PORT = 1

    answer = client.post("/accounts/password/reset/", {"email": email})

    assert answer.status_code == 503
    assert "The e-mail could not be sent" in answer.text


@pytest.mark.usefixtures("user")
def test_a_forged_link_to_reset_is_refused(browser: Browser) -> None:
    assert "Bad Token" in browser.get("/accounts/password/reset/key/1-set-password/").text


def test_asking_for_a_new_password_shuts_nobody_out(
    browser: Browser, user: User, mailoutbox: list[EmailMessage]
) -> None:
    browser.post("/accounts/password/reset/", {"email": user.email})

    browser.log_in(user.email)
    assert browser.logged_in
    assert len(mailoutbox) == 1


def test_an_account_without_a_password_is_opened_by_the_link(
    browser: Browser, user: User, mailoutbox: list[EmailMessage]
) -> None:
    user.set_unusable_password()
    user.save()
    browser.post("/accounts/password/reset/", {"email": user.email})
    set_password(browser, open_form(browser, link_in(mailoutbox[0])))

    browser.log_in(user.email, NEW_PASSWORD)
    assert browser.logged_in
