"""Errors as RFC 9457 problem details: one format for every refusal and failure of the API."""

import json
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.templatetags.static import static
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.fields import get_error_detail
from rest_framework.response import Response
from rest_framework.views import exception_handler

from apps.core.database import is_busy

MEDIA_TYPE = "application/problem+json"
OUR_FAULT = "Something went wrong on our side."
# For people, where nothing better is known.
WORDS = {
    400: "The address, or what was sent, has something in it that cannot be read.",
    403: "You may not see this, or do it, as whom you are logged in.",
    404: "There is nothing at this address: it was moved or deleted, or there is a slip in it.",
    405: "This address does not take what was sent to it: go back and try again.",
    429: "There were too many requests in a short time: wait a few minutes, then try again.",
}
BUSY, AWAY = "The database is busy.", "The database does not answer."
PASSING = {
    "database is locked": BUSY,
    "too many clients": BUSY,
    "unable to open database file": AWAY,
}


class DomainError(Exception):
    """Raised by services; the message is shown to the caller."""

    status = 400
    headers: Mapping[str, str] | None = None


class NotFoundError(DomainError):
    status = 404


class UnprocessableError(DomainError):
    status = 422


class StorageError(Exception):
    """Where files are kept does not answer or refuses us; the message is shown to people.

    It passes, so a task is tried again: `autoretry_for=(StorageError,)`.
    """


def title_of(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"


def problem(
    status: int, detail: str | None = None, *, errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    title = title_of(status)
    fields = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": None if detail == title else detail,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        "errors": errors,
    }
    return {name: value for name, value in fields.items() if value is not None}


def wants_problem(request: HttpRequest) -> bool:
    """Programs get problem+json: all of the API, and clients that like JSON better than HTML."""
    if request.path.startswith(("/api/", {{ '"/_allauth/", ' if cookiecutter.accounts else "" }}"/health/", "/openapi.json")):
        return True
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def error_response(request: HttpRequest, status: int, detail: str | None = None) -> HttpResponse:
    """A problem for programs, a page for people."""
    if wants_problem(request):
        return JsonResponse(problem(status, detail), status=status, content_type=MEDIA_TYPE)
    context = {
        "title": title_of(status),
        "detail": detail or WORDS.get(status),
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        "site_name": settings.SITE_NAME,
        "stylesheet": stylesheet(),
        "back": way_back(request),
    }
    return HttpResponse(render_to_string("core/error.html", context), status=status)


def way_back(request: HttpRequest) -> str:
    """The page whose form was sent here, if it is one of ours."""
    page = request.headers.get("Referer", "")
    ours = f"{request.scheme}://{request.headers.get('Host')}/"
    return page if request.method == "POST" and page.startswith(ours) else ""


def stylesheet() -> str:
    """Its address, or nothing where static files were not collected: the page must come anyway."""
    try:
        return static("core/error.css")
    except ValueError:
        return ""


def with_words(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A refusal without a body, as Django gives for a wrong method, gets the body of the others."""
    if response.status_code < 400 or not isinstance(response, HttpResponse) or response.content:
        return response
    worded = error_response(request, response.status_code)
    for name, value in response.items():
        if not name.lower().startswith("content-") or name == "Content-Security-Policy":
            worded[name] = value
    worded.cookies = response.cookies
    return worded


def why_unavailable(error: BaseException | None) -> str | None:
    """A lost connection and too much work pass: a sentence. The rest is a bug: None."""
    if isinstance(error, StorageError):
        return str(error)
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    if sentence := next((PASSING[text] for text in PASSING if text in str(error)), None):
        return sentence
    if "couldn't get a connection" in str(error):
        return BUSY if is_busy() else AWAY
    # psycopg knows a SQLSTATE for what the server said; without one there was no answer. Class 08
    # and 57P are lost connections. SQLite always answers.
    state = getattr(error.__cause__, "sqlstate", "")
    return AWAY if state is None or state.startswith(("08", "57P")) else None


def why_refused(request: HttpRequest, error: BaseException | None) -> tuple[int, str] | None:
    """A status and a sentence for what the database alone can refuse: the second of two requests
    that write the same in one moment, and values in an address that it cannot read."""
    if isinstance(error, IntegrityError):
        return 409, "Somebody else changed the same in this moment: look again and repeat it."
    if is_out_of_range(error) and request.method in ("GET", "HEAD"):
        return 400, "The address has a value in it that the database cannot read."
    return None


def is_out_of_range(error: BaseException | None) -> bool:
    """A number or a date that there is none of in the database, or already in Python: the admin's
    lists take any in their addresses, as in ?created_at__year=99999999999999."""
    no_such_year = isinstance(error, ValueError) and str(error).startswith("year ")
    return no_such_year or isinstance(error, DataError | OverflowError)


def failure(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    """The answer to an exception that nobody caught."""
    if reason := why_unavailable(error):
        structlog.get_logger().error("unavailable", reason=str(error))
        response = error_response(request, 503, reason)
        response["Retry-After"] = "5"
        return response
    return error_response(request, 500, repr(error) if settings.DEBUG else OUR_FAULT)


# Django's handlers for what happens outside of the API's views: see config/urls.py.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return error_response(request, 413, str(exception))
    return error_response(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 403, str(exception) or None)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return failure(request, sys.exc_info()[1])


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_response(
        request, 403, "This form is too old or came from another site: go back, reload, try again."
    )


def on_api_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Django REST framework's exception handler; None hands the exception to the middleware."""
    if isinstance(error, DomainError):
        return as_response(problem(error.status, str(error)), error.status, error.headers)
    if isinstance(error, RequestDataTooBig):
        return as_response(problem(413, str(error)), 413)
    if isinstance(error, ModelValidationError):
        error = ValidationError(get_error_detail(error))
    if isinstance(error, ValidationError):
        place = "query" if context["request"].method in ("GET", "HEAD") else "body"
        errors = list(invalid_fields(error.detail, [place]))
        return as_response(
            problem(422, "The request is not valid: see errors.", errors=errors), 422
        )
    response = exception_handler(error, dict(context))
    if response is not None:
        detail = error.detail if isinstance(error, APIException) else response.data.get("detail")
        headers = {name: value for name, value in response.items() if name != "Content-Type"}
        status = response.status_code
        response = as_response(problem(status, text_of(detail)), status, headers)
    return response


def as_response(
    fields: dict[str, Any], status: int, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(fields, status, headers=dict(headers or {}), content_type=MEDIA_TYPE)


def text_of(detail: Any) -> str:
    """One text of what the framework and its plugins give as detail."""
    if isinstance(detail, Mapping) and "detail" in detail:
        return str(detail["detail"])
    return detail if isinstance(detail, str) else json.dumps(detail)


def invalid_fields(detail: Any, location: list[str | int]) -> Iterator[dict[str, Any]]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            own = name in ("non_field_errors", "__all__")
            yield from invalid_fields(inner, location if own else [*location, name])
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            nested = isinstance(inner, Mapping)
            yield from invalid_fields(inner, [*location, number] if nested else location)
    else:
        yield {"location": location, "message": str(detail)}
