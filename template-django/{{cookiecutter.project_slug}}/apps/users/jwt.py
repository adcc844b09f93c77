"""JWT: a short-lived access token, and a refresh token that is replaced at each use."""

from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt import views


class Obtain(views.TokenObtainPairView):
    @extend_schema(operation_id="auth_token_obtain")
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """An access token and a refresh token."""
        return super().post(request, *args, **kwargs)


class Refresh(views.TokenRefreshView):
    @extend_schema(operation_id="auth_token_refresh")
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """New tokens for a refresh token, which is then worth nothing."""
        return super().post(request, *args, **kwargs)


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
