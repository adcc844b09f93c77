import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError

from apps.users.models import User
from tests.users.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def test_the_login_is_unique_in_capital_and_small_letters() -> None:
    make_user("ann")

    with pytest.raises(IntegrityError):
        make_user("ANN")


def test_a_user_is_shown_by_name_or_login() -> None:
    user = make_user("ann")
    named = make_user("bob", first_name="Bob", last_name="Lee")

    assert str(user) == user.get_username()
    assert str(named) == "Bob Lee"


def test_an_administrator_may_do_everything() -> None:
    login = "boss@example.com" if User.USERNAME_FIELD == "email" else "boss"
    user = User.objects.create_superuser(login, password=PASSWORD)

    assert user.is_staff
    assert user.has_perm("users.delete_user")


def test_a_password_is_kept_as_a_hash() -> None:
    user = make_user("ann")

    assert PASSWORD not in user.password
    assert authenticate(username=user.get_username(), password=PASSWORD) == user
{% if cookiecutter.login == "email" %}


def test_people_log_in_with_their_e_mail_in_any_case() -> None:
    user = make_user("ann")

    assert authenticate(username="ANN@Example.com", password=PASSWORD) == user


def test_an_e_mail_is_kept_in_small_letters() -> None:
    user = make_user(email="Ann.Lee@Example.com")

    assert user.email == "ann.lee@example.com"
    assert User.objects.filter(email="ANN.LEE@example.com").exists()


def test_a_user_needs_an_e_mail() -> None:
    with pytest.raises(ValueError, match="needs an e-mail"):
        make_user(email="")
{% endif %}
