from allauth.headless.tokens.strategies.sessions import SessionTokenStrategy
from django.http import HttpRequest
from rest_framework.authtoken.models import Token

from apps.users.models import User


class ApiTokenStrategy(SessionTokenStrategy):
    """Whoever has logged in headless gets the project's own API token as `access_token`."""

    def create_access_token(self, request: HttpRequest) -> str:
        assert request.user.is_authenticated
        token, _ = Token.objects.get_or_create(user=request.user)
        return str(token.key)

    def revoke(self, user: User) -> None:
        Token.objects.filter(user=user).delete()
