import re
from ipaddress import ip_address
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem_response

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

SECURITY_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class KnownHosts(TrustedHostMiddleware):
    """Refuses a forged Host, except for the health checks: who asks for those names an address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/health/"):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class TrustedProxy:
    """Takes the caller's address and scheme from the headers of the one proxy in front.

    Of several values the last one counts: the proxy added it, the others are what the caller sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            last = {name: value.rpartition(b",")[2].strip() for name, value in scope["headers"]}
            scheme = last.get(b"x-forwarded-proto", b"").decode("latin-1")
            address = last.get(b"x-forwarded-for", b"").decode("latin-1")
            if scheme in ("http", "https"):
                scope["scheme"] = scheme
            if is_address(address):
                scope["client"] = (address, 0)
        await self.app(scope, receive, send)


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class RequestContext:
    """The outermost layer: request id, one log line a request, security headers, and a Problem
    for what nobody caught and for what libraries refuse in plain text (a forged host, a body that
    is too large). One pure ASGI class, since each layer costs every request."""

    def __init__(self, app: ASGIApp, *, hsts: bool, debug: bool) -> None:
        self.app = app
        self.headers = [*SECURITY_HEADERS, HSTS] if hsts else SECURITY_HEADERS
        self.debug = debug
        # Bound once: a logger that finds its configuration anew costs every request.
        self.log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode("latin-1") if REQUEST_ID.fullmatch(given) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = perf_counter()
        status = 0
        plain_refusal: bytes | None = None
        kept_headers: list[tuple[bytes, bytes]] = []

        async def send_with_headers(message: Message) -> None:
            nonlocal status, plain_refusal, kept_headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = dict(message["headers"])
                if status >= 400 and headers.get(b"content-type", b"").startswith(b"text/plain"):
                    plain_refusal = b""
                    kept_headers = [
                        h for h in message["headers"] if not h[0].startswith(b"content-")
                    ]
                    return
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self.headers if header[0] not in headers),
                    (b"x-request-id", request_id.encode()),
                ]
            elif plain_refusal is not None:
                plain_refusal += message.get("body", b"")
                if not message.get("more_body"):
                    text, plain_refusal = plain_refusal.decode(errors="replace"), None
                    response = problem_response(status, text)
                    response.raw_headers.extend(kept_headers)
                    await response(scope, receive, send_with_headers)
                return
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            self.log.exception("request_failed")
            if status:
                raise
            detail = repr(error) if self.debug else "Something went wrong on our side."
            await problem_response(500, detail)(scope, receive, send_with_headers)
        finally:
            self.log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round((perf_counter() - started) * 1000, 1),
            )
