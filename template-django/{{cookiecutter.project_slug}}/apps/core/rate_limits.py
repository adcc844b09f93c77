"""How often one caller may ask the API: counted for each caller and each route, in windows that
begin with a first request. A view without a limit of its own has that of APP_RATE_LIMIT:

    class Exports(APIView):
        rate_limit = "5/minute"  # for each of its methods; None: no limit

The caller is who was authenticated, and for all others the address: who makes credentials up gets no
new window with them. Paths that no view answers are not counted, since nothing is done for them.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.core.addresses import address_of, network_of
from apps.core.rate_windows import Limit, Window, Windows, limits_of

if TYPE_CHECKING:
    from rest_framework.views import APIView

LIMITED = re.compile(r"/(api|_allauth/(app|browser))/")
VISIT = "rate_limits.visit"  # in META, which both kinds of requests have


class TooManyRequestsError(APIException):
    status_code = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests: try again in {seconds} s.")


@dataclass
class Visit:
    """What is counted for one request."""

    windows: Windows
    limits: Sequence[Limit]
    route: str
    address: str
    counted: bool = False
    refused_for: int = 0  # seconds
    left: list[tuple[Limit, Window]] = field(default_factory=list)

    def count(self, caller: str) -> None:
        """Raises TooManyRequestsError."""
        self.counted = True
        self.left = []
        for limit in self.limits:
            if window := self.windows.count(self._key(caller, limit), limit):
                self.left.append((limit, window))
                if window.count > limit.most:
                    self._refuse(window)

    def refuse_full_address(self) -> None:
        """Raises TooManyRequestsError, and counts nothing."""
        for limit in self.limits:
            if window := self.windows.full(self._key(self.address, limit), limit):
                self.counted = True
                self.left = [(limit, window)]
                self._refuse(window)

    def _refuse(self, window: Window) -> None:
        self.refused_for = window.seconds
        raise TooManyRequestsError(self.refused_for)

    def _key(self, caller: str, limit: Limit) -> str:
        return f"{self.route} {caller} {limit.most}/{limit.seconds}"

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-11 has them."""
        policies = [f'"{one.name}";q={one.most};w={one.seconds}' for one in self.limits]
        headers = {"RateLimit-Policy": ", ".join(policies)}
        if self.left:
            headers["RateLimit"] = ", ".join(
                f'"{limit.name}";r={max(0, limit.most - window.count)};t={window.seconds}'
                for limit, window in self.left
            )
        if self.refused_for:
            headers["Retry-After"] = str(self.refused_for)
        return headers


class RateLimits:
    """Counts before anything is looked up. Only who brings credentials to a view that asks for them
    is counted later: by the throttle when they are good, else when the answer is known.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        windows()  # made before there are threads: two of them would make one each

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        visit: Visit | None = request.META.get(VISIT)
        if visit is None:
            return response
        if not visit.counted:
            with suppress(TooManyRequestsError):
                visit.count(caller_of(request, visit))
        for name, value in visit.headers.items():
            response[name] = value
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], *_: object
    ) -> HttpResponse | None:
        limits = limits_for(request, view)
        if not limits or request.resolver_match is None:
            return None
        route = f"{request.method} /{request.resolver_match.route}"
        address = network_of(address_of(request))
        visit = request.META[VISIT] = Visit(windows(), limits, route, address)
        try:
            visit.refuse_full_address()
            if not has_credentials(request, view):
                visit.count(address)
        except TooManyRequestsError as error:
            # Not above: Django REST framework imports this module before that one can be.
            from apps.core.errors import error_response

            return error_response(request, error.status_code, str(error))
        return None


class RateLimit(BaseThrottle):
    """Counts for who was authenticated, before the view does its work."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Raises TooManyRequestsError."""
        visit: Visit | None = request.META.get(VISIT)
        if visit and (request.user.is_authenticated or not visit.counted):
            visit.count(caller_of(request, visit))
        return True


def caller_of(request: HttpRequest | Request, visit: Visit) -> str:
    return f"user {request.user.pk}" if request.user.is_authenticated else visit.address


def limits_for(request: HttpRequest, view: Callable[..., Any]) -> Sequence[Limit]:
    if not LIMITED.match(request.path_info):
        return ()
    cls = getattr(view, "cls", None)
    text = getattr(cls, "rate_limit", settings.RATE_LIMIT)
    return limits_of(text, "route" if hasattr(cls, "rate_limit") else "default") if text else ()


def has_credentials(request: HttpRequest, view: Callable[..., Any]) -> bool:
    """Whether the request has some, good or not, of a kind that the view looks at."""
    kinds = getattr(getattr(view, "cls", None), "authentication_classes", ())
    by_session = any(issubclass(kind, SessionAuthentication) for kind in kinds)
    return bool(kinds) and (
        "Authorization" in request.headers
        or (by_session and settings.SESSION_COOKIE_NAME in request.COOKIES)
    )


@cache
def windows() -> Windows:
    """Those of this process."""
    # The broker of development may be no Redis.
    url = settings.RATE_LIMIT_STORAGE
    url = url if url.startswith("redis") else ""
    return Windows(url, prefix=f"{settings.SITE_NAME} rate limits")


def check_limits() -> tuple[Literal["ok", "warning"], str]:
    """For `just doctor`."""
    if windows().pool:
        if reason := windows().why_unreachable():
            return "warning", f"APP_RATE_LIMIT_STORAGE does not answer, so all pass: {reason}"
        return "ok", "The storage of rate limits answers."
    if settings.ENV.production and settings.ENV.workers > 1:
        return "warning", (
            "APP_RATE_LIMIT_STORAGE is memory, and each of APP_WORKERS counts by itself: callers may"
            f" ask up to {settings.ENV.workers} times as often. Name a Redis."
        )
    return "ok", "Rate limits are counted in the memory of one process."
