from rest_framework.test import APIClient

from apps.users.models import User
from tests.accounts.conftest import Browser
from tests.users.factories import PASSWORD


def test_a_refresh_token_from_the_headless_login_is_replaced_and_works_once(
    browser: Browser, user: User
) -> None:
    first = browser.ask("auth/login", email=user.email, password=PASSWORD).json()["meta"]

    second = browser.ask("tokens/refresh", refresh_token=first["refresh_token"])
    again = browser.ask("tokens/refresh", refresh_token=first["refresh_token"])

    assert second.json()["data"].keys() == {"access_token", "refresh_token"}
    assert again.status_code == 400


def test_the_apis_own_refresh_takes_it_too(browser: Browser, api: APIClient, user: User) -> None:
    pair = browser.ask("auth/login", email=user.email, password=PASSWORD).json()["meta"]

    answer = api.post("/api/auth/refresh", {"refresh": pair["refresh_token"]})

    assert answer.status_code == 200


def test_a_user_who_is_no_longer_active_gets_no_new_tokens(browser: Browser, user: User) -> None:
    pair = browser.ask("auth/login", email=user.email, password=PASSWORD).json()["meta"]
    User.objects.update(is_active=False)

    assert browser.ask("tokens/refresh", refresh_token=pair["refresh_token"]).status_code == 400
