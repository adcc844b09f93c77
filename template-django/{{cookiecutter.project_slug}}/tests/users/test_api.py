from django.test import Client
from rest_framework.test import APIClient

from apps.users.models import User


def test_a_stranger_is_asked_to_log_in(api: APIClient) -> None:
    response = api.get("/api/me")

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response["Content-Type"] == "application/problem+json"


def test_a_user_sees_who_they_are(api: APIClient, user: User) -> None:
    api.force_authenticate(user)
    body = api.get("/api/me").json()

    assert body["id"] == user.pk
    assert body[User.USERNAME_FIELD] == user.get_username()
    assert "password" not in body


def test_a_browser_that_has_logged_in_needs_no_token(client: Client, user: User) -> None:
    client.force_login(user)

    assert client.get("/api/me").status_code == 200
