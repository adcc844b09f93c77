import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from apps.users.models import User
from tests.users.factories import PASSWORD

PBKDF2 = "django.contrib.auth.hashers.PBKDF2PasswordHasher"


@pytest.fixture
def credentials(user: User) -> dict[str, str]:
    return {User.USERNAME_FIELD: user.get_username(), "password": PASSWORD}


def test_a_token_opens_the_api_until_it_is_revoked(
    api: APIClient, credentials: dict[str, str]
) -> None:
    issued = api.post("/api/auth/token", credentials)
    token = issued.json()["token"]
    same = api.post("/api/auth/token", credentials).json()["token"]
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    assert issued["Cache-Control"] == "no-store"
    assert same == token
    assert api.get("/api/me").status_code == 200
    assert api.delete("/api/auth/token").status_code == 204
    refused = api.get("/api/me")
    assert refused.status_code == 401
    assert refused["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("password", ["wrong", PASSWORD.upper()])
def test_wrong_credentials_are_refused(
    api: APIClient, credentials: dict[str, str], password: str
) -> None:
    response = api.post("/api/auth/token", credentials | {"password": password})

    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert "No user has this" in response.json()["detail"]


def test_a_user_who_was_switched_off_gets_in_no_more(
    api: APIClient, user: User, credentials: dict[str, str]
) -> None:
    token = api.post("/api/auth/token", credentials).json()["token"]
    User.objects.update(is_active=False)

    assert api.post("/api/auth/token", credentials).status_code == 401
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert api.get("/api/me").status_code == 401


def test_missing_credentials_are_named(api: APIClient, db: None) -> None:
    response = api.post("/api/auth/token", {})

    assert response.status_code == 422
    assert ["body", "password"] in [error["location"] for error in response.json()["errors"]]


def test_revoking_needs_the_token(api: APIClient, db: None) -> None:
    assert api.delete("/api/auth/token").status_code == 401


def test_a_new_password_ends_the_token(administrator: User, user: User) -> None:
    browser = Client()
    browser.force_login(administrator)
    Token.objects.create(user=user)
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    passwords = {"password1": "another-password", "password2": "another-password"}

    assert browser.post(page, passwords | {"usable_password": "true"}).status_code == 302
    assert not Token.objects.exists()

    Token.objects.create(user=user)
    no_password = {"usable_password": "false", "unset-password": "1"}
    assert browser.post(page, no_password).status_code == 302
    assert not Token.objects.exists()


def test_what_does_not_change_the_password_leaves_the_token(
    user: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    Token.objects.create(user=user)
    user.last_name = "Lee"
    user.save()
    user.save(update_fields=["last_name"])
    # As after an upgrade of Django that hashes in a newer way.
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, PBKDF2]
    user.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    User.objects.update(password=user.password)
    assert user.check_password(PASSWORD)

    assert not User.objects.get().password.startswith("pbkdf2")
    assert Token.objects.exists()
