import threading
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.users.models import User
from tests.users.factories import PASSWORD


@pytest.fixture
def credentials(user: User) -> dict[str, str]:
    return {User.USERNAME_FIELD: user.get_username(), "password": PASSWORD}


@pytest.fixture
def tokens(api: APIClient, credentials: dict[str, str]) -> dict[str, Any]:
    issued: dict[str, Any] = api.post("/api/auth/token", credentials).json()
    return issued


def status_with(api: APIClient, access: str) -> int:
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    status = api.get("/api/me").status_code
    api.credentials()
    return status


def test_an_access_token_opens_the_api(api: APIClient, credentials: dict[str, str]) -> None:
    issued = api.post("/api/auth/token", credentials)

    assert issued["Cache-Control"] == "no-store"
    assert status_with(api, issued.json()["access"]) == 200


def test_wrong_credentials_are_refused(api: APIClient, credentials: dict[str, str]) -> None:
    response = api.post("/api/auth/token", credentials | {"password": "wrong"})

    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


def test_a_refresh_token_works_once(api: APIClient, tokens: dict[str, Any]) -> None:
    old = {"refresh": tokens["refresh"]}
    fresh = api.post("/api/auth/refresh", old)
    again = api.post("/api/auth/refresh", old)

    assert fresh.status_code == 200
    assert fresh["Cache-Control"] == "no-store"
    assert status_with(api, fresh.json()["access"]) == 200
    assert again.status_code == 401
    assert again["Content-Type"] == "application/problem+json"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_of_many_with_the_same_refresh_token_one_gets_a_new_pair(tokens: dict[str, Any]) -> None:
    statuses = []
    together = threading.Barrier(8)

    def refresh() -> None:
        together.wait()
        try:
            answer = APIClient().post("/api/auth/refresh", {"refresh": tokens["refresh"]})
            statuses.append(answer.status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [401] * 7


def test_whoever_is_switched_off_or_deleted_refreshes_no_more(
    api: APIClient, user: User, credentials: dict[str, str], tokens: dict[str, Any]
) -> None:
    other = api.post("/api/auth/token", credentials).json()
    User.objects.update(is_active=False)
    assert api.post("/api/auth/refresh", {"refresh": tokens["refresh"]}).status_code == 401

    user.delete()
    assert api.post("/api/auth/refresh", {"refresh": other["refresh"]}).status_code == 401


def test_logging_out_ends_the_refresh_token(api: APIClient, tokens: dict[str, Any]) -> None:
    refresh = {"refresh": tokens["refresh"]}

    assert api.post("/api/auth/logout", refresh).status_code == 200
    assert api.post("/api/auth/refresh", refresh).status_code == 401


def test_a_new_password_ends_what_was_issued_before(
    api: APIClient, user: User, tokens: dict[str, Any]
) -> None:
    user.set_password("another-password-for-tests")
    user.save()

    assert status_with(api, tokens["access"]) == 401


def test_a_token_signed_in_another_way_is_refused(api: APIClient, tokens: dict[str, Any]) -> None:
    claims = jwt.decode(tokens["access"], options={"verify_signature": False})

    assert status_with(api, jwt.encode(claims, "", algorithm="none")) == 401
    assert status_with(api, jwt.encode(claims, settings.SECRET_KEY, algorithm="HS384")) == 401
    assert status_with(api, jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256")) == 200


def test_what_a_previous_key_signed_is_good_until_it_expires(
    api: APIClient, tokens: dict[str, Any], settings: Settings
) -> None:
    claims = jwt.decode(tokens["access"], options={"verify_signature": False})
    previous, foreign = "previous-" * 6, "somebody-else-" * 4
    settings.SECRET_KEY_FALLBACKS = [foreign[::-1], previous]

    assert status_with(api, jwt.encode(claims, previous, algorithm="HS256")) == 200
    assert status_with(api, tokens["access"]) == 200
    assert status_with(api, jwt.encode(claims, foreign, algorithm="HS256")) == 401
    assert status_with(api, jwt.encode(claims, previous, algorithm="HS384")) == 401
    assert status_with(api, jwt.encode(claims | {"exp": 1}, previous, algorithm="HS256")) == 401

    refreshed = api.post("/api/auth/refresh", {"refresh": tokens["refresh"]}).json()["access"]
    jwt.decode(refreshed, settings.SECRET_KEY, algorithms=["HS256"])
