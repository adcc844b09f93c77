import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from apps.users.models import User
from tests.users.factories import PASSWORD, make_user

NEW_PASSWORD = "another-password-for-tests"  # noqa: S105 - of users that exist in tests only


@pytest.fixture
def browser(administrator: User) -> Client:
    """An administrator's browser."""
    client = Client()
    client.force_login(administrator)
    return client


def log_in(client: Client, user: User) -> int:
    """Log in at the page that the admin sends people to, and return the answer's status."""
    login = user.get_username()
    form = {"username": login, "login": login, "password": PASSWORD}
    return client.post(f"{settings.LOGIN_URL}?next=/admin/", form).status_code


def test_an_administrator_logs_in_with_a_password(administrator: User, client: Client) -> None:
    assert log_in(client, administrator) == 302
    assert client.get("/admin/").status_code == 200


def test_who_is_no_staff_is_not_let_in(user: User, client: Client) -> None:
    log_in(client, user)

    assert client.get("/admin/").status_code == 302


def test_an_administrator_adds_a_user_who_can_then_log_in(browser: Client) -> None:
    login = "new@example.com" if User.USERNAME_FIELD == "email" else "new"
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    form = {User.USERNAME_FIELD: login} | passwords
    response = browser.post(reverse("admin:users_user_add"), form)

    assert response.status_code == 302
    assert Client().login(username=login, password=NEW_PASSWORD)


def test_a_login_that_is_taken_is_refused_with_a_sentence(browser: Client) -> None:
    make_user("ann")
    login = "ANN@example.com" if User.USERNAME_FIELD == "email" else "ANN"
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    form = {User.USERNAME_FIELD: login} | passwords
    response = browser.post(reverse("admin:users_user_add"), form)

    assert response.status_code == 200
    assert User.objects.count() == 2


def test_an_administrator_changes_a_user_and_the_password(browser: Client) -> None:
    user = make_user("ann")
    page = browser.get(reverse("admin:users_user_change", args=[user.pk]))
    password = reverse("admin:auth_user_password_change", args=[user.pk])
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    response = browser.post(password, passwords)

    assert page.status_code == 200
    assert response.status_code == 302
    assert Client().login(username=user.get_username(), password=NEW_PASSWORD)


def test_users_are_found_by_any_of_their_names(browser: Client) -> None:
    make_user("ann", last_name="Lee")
    make_user("bob", last_name="Kim")
    page = browser.get(reverse("admin:users_user_changelist"), {"q": "lee"})

    assert "ann" in page.content.decode()
    assert "bob" not in page.content.decode()


def test_groups_can_be_edited(browser: Client) -> None:
    response = browser.post(reverse("admin:auth_group_add"), {"name": "Teachers"})

    assert response.status_code == 302
    assert browser.get(reverse("admin:auth_group_changelist"), {"q": "teach"}).status_code == 200
