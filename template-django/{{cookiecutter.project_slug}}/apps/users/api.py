from typing import ClassVar

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.users import {{ cookiecutter.api_auth }} as auth
from apps.users.models import User


class UserRead(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields: ClassVar = ["id", User.USERNAME_FIELD, "first_name", "last_name", "is_staff"]


class Me(APIView):
    @extend_schema(operation_id="me", responses=UserRead)
    def get(self, request: Request) -> Response:
        """Who is asking."""
        assert isinstance(request.user, User)
        return Response(UserRead(request.user).data)


urls = [path("me", Me.as_view(), name="me"), *auth.urls]
