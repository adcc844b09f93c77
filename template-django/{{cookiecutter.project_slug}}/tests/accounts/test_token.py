from rest_framework.authtoken.models import Token

from apps.users.models import User
from tests.accounts.conftest import Browser
from tests.users.factories import PASSWORD


def test_logging_in_headless_gives_the_users_one_token(browser: Browser, user: User) -> None:
    token = Token.objects.create(user=user)

    answer = browser.ask("auth/login", email=user.email, password=PASSWORD)

    assert answer.json()["meta"]["access_token"] == token.key
