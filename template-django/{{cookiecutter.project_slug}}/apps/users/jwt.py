"""JWT: a short-lived access token, and a refresh token that is replaced at each use."""

from typing import Any

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt import views
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from apps.users.models import User


class RotationSerializer(TokenRefreshSerializer):
    @transaction.atomic
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Of many requests with the same token in one moment, one gets a new pair: the package looks
        first and blacklists later, so the others wait here."""
        token = self.token_class(attrs["refresh"])
        list(OutstandingToken.objects.select_for_update().filter(jti=token["jti"]))
        try:
            return super().validate(attrs)
        except User.DoesNotExist:
            raise AuthenticationFailed(self.error_messages["no_active_account"]) from None


def not_stored(response: Response) -> Response:
    """By no cache on the way: there is a secret in it."""
    response["Cache-Control"] = "no-store"
    return response


class Obtain(views.TokenObtainPairView):
    @extend_schema(operation_id="auth_token_obtain")
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """An access token and a refresh token."""
        return not_stored(super().post(request, *args, **kwargs))


class Refresh(views.TokenRefreshView):
    serializer_class = RotationSerializer

    @extend_schema(operation_id="auth_token_refresh")
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """New tokens for a refresh token, which is then worth nothing."""
        return not_stored(super().post(request, *args, **kwargs))


class Logout(views.TokenBlacklistView):
    @extend_schema(operation_id="auth_logout", responses={200: OpenApiResponse(None, "Logged out")})
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """From now on the refresh token is worth nothing."""
        return super().post(request, *args, **kwargs)


urls = [
    path("auth/token", Obtain.as_view(), name="token"),
    path("auth/refresh", Refresh.as_view(), name="refresh"),
    path("auth/logout", Logout.as_view(), name="logout"),
]
