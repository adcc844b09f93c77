"""How often one caller may ask: counted for each caller and each route, in windows that begin with
a first request. A route without a limit of its own has that of APP_RATE_LIMIT:

    @router.post("/exports")
    @rate_limit("5/minute")
    async def export() -> None: ...

The caller is who was authenticated, and for all others the address: who makes credentials up gets no
new window with them. Paths that no route answers are not counted, since nothing is done for them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.addresses import network_of
from app.errors import DomainError, problem_response
from app.rate_windows import Limit, Window, Windows, limits_of, redis_url

UNLIMITED = re.compile(r"/(health/.*|docs(/.*)?|redoc|openapi\.json|favicon\.ico|metrics)")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class TooManyRequestsError(DomainError):
    status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests: try again in {seconds} s.")
        self.headers = {"Retry-After": str(seconds)}


def rate_limit(text: str | None) -> Callable[[Endpoint], Endpoint]:
    """Gives a route its own limits, or none. It stands below the decorator of the route."""
    limits = limits_of(text, "route") if text else []

    def note(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)["rate_limits"] = limits
        return endpoint

    return note


@dataclass(frozen=True)
class Route:
    pattern: re.Pattern[str]
    methods: set[str]
    path_format: str
    limits: Sequence[Limit]
    asks_for_credentials: bool


def routes_of(app: FastAPI, default: Sequence[Limit]) -> Iterator[Route]:
    for route in iter_route_contexts(app.routes):
        if route.path and route.methods:
            own = getattr(route.endpoint, "rate_limits", default)
            pattern, path_format, _ = compile_path(route.path)
            yield Route(
                pattern=pattern,
                methods=route.methods,
                path_format=path_format,
                limits=[] if UNLIMITED.fullmatch(route.path) else own,
                asks_for_credentials=asks_for_credentials(getattr(route, "dependant", None)),
            )


def asks_for_credentials(dependant: Dependant | None) -> bool:
    return dependant is not None and any(
        isinstance(one.call, SecurityBase) or asks_for_credentials(one)
        for one in dependant.dependencies
    )


@dataclass
class Visit:
    """What is counted for one request."""

    windows: Windows
    route: Route
    method: str
    address: str
    counted: bool = False
    left: list[tuple[Limit, Window]] = field(default_factory=list)

    async def count(self, caller: str) -> None:
        """Raises TooManyRequestsError."""
        self.counted = True
        self.left = []
        for limit in self.route.limits:
            if window := await self.windows.count(self._key(caller, limit), limit):
                self.left.append((limit, window))
                if window.count > limit.most:
                    raise TooManyRequestsError(window.seconds)

    def refuse_full_address(self) -> None:
        """Raises TooManyRequestsError, and counts nothing."""
        for limit in self.route.limits:
            if window := self.windows.full(self._key(self.address, limit), limit):
                self.counted = True
                self.left = [(limit, window)]
                raise TooManyRequestsError(window.seconds)

    def _key(self, caller: str, limit: Limit) -> str:
        return f"{self.method} {self.route.path_format} {caller} {limit.most}/{limit.seconds}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As draft-ietf-httpapi-ratelimit-headers-11 has them."""
        policies = [f'"{one.name}";q={one.most};w={one.seconds}' for one in self.route.limits]
        headers = [(b"ratelimit-policy", ", ".join(policies).encode())]
        left = [
            f'"{limit.name}";r={max(0, limit.most - window.count)};t={window.seconds}'
            for limit, window in self.left
        ]
        return [*headers, (b"ratelimit", ", ".join(left).encode())] if left else headers


class RateLimits:
    """Counts before anything is read or looked up. Only who brings credentials to a route that asks
    for them is counted later: by `count_caller` when they are good, else when the answer is known.
    """

    def __init__(self, app: ASGIApp, *, windows: Windows, default: Sequence[Limit]) -> None:
        self.app = app
        self.windows = windows
        self.default = default
        self.routes: Sequence[Route] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route_for(scope) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        address = network_of(scope["client"][0]) if scope.get("client") else "unknown"
        visit = Visit(self.windows, route, scope["method"], address)
        scope["rate_limits"] = visit

        async def count_stranger() -> None:
            if not visit.counted:
                with suppress(TooManyRequestsError):
                    await visit.count(address)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await count_stranger()
                message["headers"] = [*message["headers"], *visit.headers]
            await send(message)

        try:
            visit.refuse_full_address()
            if not (route.asks_for_credentials and has_credentials(scope)):
                await visit.count(address)
        except TooManyRequestsError as error:
            # Nobody else looks for it now; whoever counts answers wants to know.
            scope["route"] = route
            response = problem_response(error.status, str(error), headers=error.headers)
            await response(scope, receive, send_with_headers)
            return
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            await count_stranger()

    def _route_for(self, scope: Scope) -> Route | None:
        """The route that will answer, if it is limited."""
        if self.routes is None:
            self.routes = list(routes_of(scope["app"], self.default))
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for route in self.routes:
            if scope["method"] in route.methods and route.pattern.match(path):
                return route if route.limits else None
        return None


def has_credentials(scope: Scope) -> bool:
    return any(name == b"authorization" for name, _ in scope["headers"])


async def count_caller(request: Request) -> None:
    """Counts for `request.state.caller`, who was authenticated. Raises TooManyRequestsError."""
    visit: Visit | None = request.scope.get("rate_limits")
    if visit:
        await visit.count(f"caller {request.state.caller}")


def windows_of(settings: Any) -> Windows:
    url = redis_url(settings.rate_limit_storage.get_secret_value())
    return Windows(url, prefix=f"{settings.title} rate limits")


def limit_rates(app: FastAPI) -> None:
    """Opens no connection before the first request."""
    settings = app.state.settings
    windows = app.state.rate_limits = windows_of(settings)
    app.add_middleware(RateLimits, windows=windows, default=limits_of(settings.rate_limit))


async def check_limits(settings: Any) -> tuple[Literal["ok", "warning"], str]:
    """For `just doctor`."""
    windows = windows_of(settings)
    if windows.pool:
        reason = await windows.why_unreachable()
        await windows.close()
        if reason:
            return "warning", f"APP_RATE_LIMIT_STORAGE does not answer, so all pass: {reason}"
        return "ok", "The storage of rate limits answers."
    if settings.environment == "production" and settings.workers > 1:
        return "warning", (
            "APP_RATE_LIMIT_STORAGE is memory, and each of APP_WORKERS counts by itself: callers may"
            f" ask up to {settings.workers} times as often. Name a Redis."
        )
    return "ok", "Rate limits are counted in the memory of one process."
