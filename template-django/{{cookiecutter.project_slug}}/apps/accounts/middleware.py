import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.core.errors import error_response

ROUTES = "/_allauth/"
A_MINUTE = "60"  # seconds: allauth counts by the minute


class ForPrograms:
    """The routes that allauth has for programs: what it cannot read is refused before it tries, and
    who asks too often gets the answer that all routes of the API give."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == 429 and request.path.startswith(ROUTES):
            response = error_response(request, 429, "There were too many requests: try again.")
            response["Retry-After"] = A_MINUTE
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        if request.resolver_match and request.resolver_match.url_name == "manage_phone":
            # The library has the route also where accounts have no such thing, and fails in it.
            return error_response(request, 404, "Accounts have no phone number here.")
        if not request.path.startswith(ROUTES) or request.method == "GET":
            return None
        try:
            json.loads(request.body.decode() or "{}")
        except (ValueError, RecursionError):
            return error_response(request, 400, "The body is no JSON that can be read.")
        return None
