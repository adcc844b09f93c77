"""Views that fail."""

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.decorators import api_view, parser_classes, permission_classes
from rest_framework.exceptions import APIException, Throttled
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import NotFoundError
from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as project

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class Line(serializers.Serializer[None]):
    amount = serializers.IntegerField()


class Order(serializers.Serializer[None]):
    name = serializers.CharField()
    lines = Line(many=True)


class LostError(Exception):
    sqlstate = None


def bug(request: HttpRequest) -> HttpResponse:
    token = request.headers.get("Authorization", "")
    raise RuntimeError(f"something internal {len(token)}")


def database(request: HttpRequest, state: str) -> HttpResponse:
    match state:
        case "lost":
            raise OperationalError("the connection is lost") from LostError()
        case "busy":
            raise OperationalError("database is locked")
        case "exhausted":
            raise OperationalError("couldn't get a connection after 5.00 sec")
        case "twice":
            raise IntegrityError("UNIQUE constraint failed")
        case "unreadable":
            raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        case _:
            raise OperationalError("no such column: x")


def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(forms.FileField().clean(request.FILES["file"]).size))


@api_view(["POST"])
@permission_classes([AllowAny])
def order(request: Request) -> Response:
    Order(data=request.data).is_valid(raise_exception=True)
    return Response()


@api_view(["GET"])
@permission_classes([AllowAny])
def refused(request: Request, why: str) -> Response:
    match why:
        case "domain":
            raise NotFoundError("There is no thirteenth row.")
        case "model":
            raise ModelValidationError({"name": ["This name is taken."]})
        case "throttled":
            raise Throttled(wait=7)
        case _:
            error = APIException({"code": "late"})
            error.status_code = 503
            raise error


@api_view(["POST"])
@permission_classes([AllowAny])
@parser_classes([MultiPartParser])
def api_upload(request: Request) -> Response:
    return Response(sorted(request.data))


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("This page is for teachers.")


def forbidden_without_words(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def unknown(request: HttpRequest) -> HttpResponse:
    raise Http404("No Order matches the given query.")


def refused_page(request: HttpRequest) -> HttpResponse:
    raise NotFoundError("There is no thirteenth row.")


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello")


urlpatterns = [
    *project,
    path("api/bug", bug),
    path("bug", bug),
    path("api/database/<state>", database),
    path("database/<state>", database),
    path("upload", upload),
    path("api/order", order),
    path("api/refused/<why>", refused),
    path("api/upload", api_upload),
    path("forbidden", forbidden),
    path("forbidden-without-words", forbidden_without_words),
    path("unknown", unknown),
    path("refused", refused_page),
    path("page", page),
]
