import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.users.models import Attempts, User
from apps.users.throttle import (
    KNOWN_FOR,
    LONGEST,
    TooManyAttemptsError,
    count,
    forgive,
)
from tests.users.factories import PASSWORD, make_user

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"
pytestmark = pytest.mark.django_db


def later(seconds: float) -> None:
    """Time passes for the counts."""
    for row in Attempts.objects.all():
        row.last_at -= timedelta(seconds=seconds)
        row.expires_at -= timedelta(seconds=seconds)
        row.known_until = row.known_until and row.known_until - timedelta(seconds=seconds)
        row.save()


def guess(account: str = "ann", address: str = HERE) -> int:
    """Seconds to wait."""
    try:
        count(account, address)
    except TooManyAttemptsError as error:
        return error.seconds
    return 0


def ask_for_token(api: APIClient, user: str, password: str, **headers: str) -> int:
    body = {User.USERNAME_FIELD: user, "password": password}
    return api.post("/api/auth/token", body, headers=headers).status_code


def test_after_some_failures_even_the_right_password_has_to_wait(
    api: APIClient, user: User
) -> None:
    name = user.get_username()
    statuses = [ask_for_token(api, name, "wrong") for _ in range(5)]
    slowed = api.post("/api/auth/token", {User.USERNAME_FIELD: name, "password": PASSWORD})

    assert statuses == [401] * 5
    assert slowed.status_code == 429
    assert slowed["Content-Type"] == "application/problem+json"
    assert 0 < int(slowed["Retry-After"]) <= 2
    later(2)
    assert ask_for_token(api, name, PASSWORD) == 200


def test_an_account_that_does_not_exist_is_slowed_down_all_the_same(api: APIClient) -> None:
    statuses = [ask_for_token(api, "nobody@example.com", PASSWORD) for _ in range(6)]

    assert statuses == [401] * 5 + [429]


def test_capital_letters_make_no_other_account(api: APIClient) -> None:
    for name in ("Ann", "aNn", "anN", "ANN", " ann"):
        ask_for_token(api, name, "wrong")

    assert guess("ann", "127.0.0.1") > 0


def test_pages_are_slowed_down_and_say_so(administrator: User) -> None:
    browser = Client()
    # Where people log in: accounts have a page of their own.
    page = browser.get("/admin/", follow=True)
    field = "login" if "/accounts/" in page.redirect_chain[-1][0] else "username"
    place = page.redirect_chain[-1][0]
    for _ in range(5):
        browser.post(place, {field: administrator.get_username(), "password": "wrong"})
    slowed = browser.post(place, {field: administrator.get_username(), "password": PASSWORD})

    assert slowed.status_code == 429
    assert int(slowed["Retry-After"]) > 0
    assert re.search(r"try again in \d s", slowed.text)
    assert "_auth_user_id" not in browser.session
    later(2)
    browser.post(place, {field: administrator.get_username(), "password": PASSWORD})
    assert "_auth_user_id" in browser.session


def test_waits_double_up_to_a_limit_and_are_not_prolonged_by_asking() -> None:
    waits = []
    for _ in range(16):
        if wait := guess():
            assert guess() in (wait, wait - 1)
            waits.append(wait)
            later(wait)
            assert guess() == 0
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == LONGEST


def test_one_address_that_tries_many_accounts_is_slowed_down() -> None:
    waits = [guess(f"user{number}") for number in range(51)]

    assert waits == [0] * 50 + [2]
    assert guess("other", ELSEWHERE) == 0


def test_many_addresses_that_try_one_account_are_slowed_down() -> None:
    waits = [guess(address=f"10.0.0.{number}") for number in range(21)]

    assert waits == [0] * 20 + [2]
    assert guess("bob") == 0


def test_an_attacker_does_not_keep_the_owner_out(api: APIClient, user: User) -> None:
    name = user.get_username()
    assert ask_for_token(api, name, PASSWORD) == 200
    for number in range(30):
        guess(name, f"10.0.0.{number}")
    assert guess(name, ELSEWHERE) > 0

    # Known here; and an own mistake is forgiven with the next login.
    assert ask_for_token(api, name, "wrong") == 401
    assert [ask_for_token(api, name, PASSWORD) for _ in range(6)] == [200] * 6


def test_a_place_is_known_for_a_while_only() -> None:
    forgive("ann", HERE)
    later(KNOWN_FOR.total_seconds() + 1)
    for number in range(20):
        guess(address=f"10.0.0.{number}")

    assert guess() > 0


def test_failures_of_yesterday_are_forgotten_and_cleared_away() -> None:
    for _ in range(5):
        guess()
    later(25 * 3600)
    assert guess("bob", ELSEWHERE) == 0
    assert Attempts.objects.count() == 3
    assert guess() == 0


def test_old_failures_that_are_still_there_do_not_count() -> None:
    for _ in range(5):
        guess()
    Attempts.objects.update(last_at=timezone.now() - timedelta(hours=25))

    assert guess() == 0


def test_only_a_trusted_proxy_names_the_address(api: APIClient, settings: Settings) -> None:
    assert [guess(f"user{number}", "127.0.0.1") for number in range(50)] == [0] * 50
    forged = {"X-Forwarded-For": f"127.0.0.1, {ELSEWHERE}"}
    assert ask_for_token(api, "ann", "wrong", **forged) == 429

    settings.ENV = settings.ENV.model_copy(update={"trusted_proxy": True})
    assert ask_for_token(api, "ann", "wrong", **forged) == 401
    assert Attempts.objects.count() == 50 * 2 + 1 + 3


def test_neither_accounts_nor_addresses_are_kept() -> None:
    guess("ann@example.com")

    assert {len(row.key) for row in Attempts.objects.all()} == {64}
    assert not Attempts.objects.filter(key__contains="ann").exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_of_many_guesses_at_the_same_moment_none_slips_through() -> None:
    user = make_user("ann")
    statuses = []

    def ask() -> None:
        try:
            statuses.append(ask_for_token(APIClient(), user.get_username(), "wrong"))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [401] * 5 + [429] * 7
