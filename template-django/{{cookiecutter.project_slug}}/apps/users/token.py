"""One API token for each user: it holds until it is revoked."""

from django.contrib.auth import authenticate
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.users.bearer import BearerAuthentication
from apps.users.models import User


class Credentials(serializers.Serializer[User]):
    {{ cookiecutter.login }} = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)


class Issued(serializers.Serializer[Token]):
    token = serializers.CharField()


class TokenView(APIView):
    authentication_classes = (BearerAuthentication,)

    def get_permissions(self) -> list[BasePermission]:
        return [AllowAny()] if self.request.method == "POST" else [IsAuthenticated()]

    @extend_schema(operation_id="auth_token_obtain", request=Credentials, responses=Issued, auth=[])
    def post(self, request: Request) -> Response:
        """The user's token; made when there is none."""
        credentials = Credentials(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = authenticate(request, **credentials.validated_data)
        if user is None:
            raise AuthenticationFailed("No user has this {{ "e-mail" if cookiecutter.login == "email" else "user name" }} and password.")
        token, _ = Token.objects.get_or_create(user=user)
        return Response({"token": token.key}, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="auth_token_revoke", responses={204: OpenApiResponse(None, "Revoked")}
    )
    def delete(self, request: Request) -> Response:
        """From now on the token that came with the request is worth nothing."""
        Token.objects.filter(key=request.auth).delete()
        return Response(status=204)


urls = [path("auth/token", TokenView.as_view(), name="token")]
