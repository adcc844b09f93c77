from typing import Any

from allauth.core.internal.httpkit import authenticated_user
from allauth.headless.tokens.strategies.sessions import SessionTokenStrategy
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import RefreshToken

from apps.users.jwt import RotationSerializer
from apps.users.models import User


class ApiTokenStrategy(SessionTokenStrategy):
    """Whoever has logged in headless gets the project's own pair of JWTs.

    allauth has JWTs too. They would be a second kind in one API: another key, another way to
    refresh, and another list of what is revoked.
    """

    def create_access_token_payload(self, request: HttpRequest) -> dict[str, Any]:
        refresh = RefreshToken.for_user(authenticated_user(request))
        return {
            "access_token": str(refresh.access_token),
            "refresh_token": str(refresh),
            "expires_in": int(refresh.access_token.lifetime.total_seconds()),
        }

    def refresh_token(self, refresh_token: str) -> tuple[str, str] | None:
        serializer = RotationSerializer(data={"refresh": refresh_token})
        try:
            serializer.is_valid(raise_exception=True)
        except (AuthenticationFailed, TokenError):
            return None
        pair = serializer.validated_data
        return pair["access"], pair.get("refresh", refresh_token)

    def revoke(self, user: User) -> None:
        """Nothing to do: JWTs carry a mark of the password (CHECK_REVOKE_TOKEN) and end with it."""
