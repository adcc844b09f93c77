import re
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem_response

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
HSTS = {"strict-transport-security": "max-age=31536000; includeSubDomains"}

log = structlog.get_logger("app.requests")


class RequestContext:
    """The outermost layer: request id, one log line a request, security headers, and a Problem
    for what nobody caught and for what libraries refuse in plain text (a forged host, a body that
    is too large). One pure ASGI class, since each layer costs every request."""

    def __init__(self, app: ASGIApp, *, hsts: bool, debug: bool) -> None:
        self.app = app
        self.headers = SECURITY_HEADERS | (HSTS if hsts else {})
        self.debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        request_id = Headers(scope=scope).get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = perf_counter()
        status = 0
        plain_refusal: bytes | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, plain_refusal
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                if status >= 400 and headers.get("content-type", "").startswith("text/plain"):
                    plain_refusal = b""
                    return
                headers["x-request-id"] = request_id
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            elif plain_refusal is not None:
                plain_refusal += message.get("body", b"")
                if not message.get("more_body"):
                    text, plain_refusal = plain_refusal.decode(errors="replace"), None
                    await problem_response(status, text)(scope, receive, send_with_headers)
                return
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            log.exception("request_failed")
            if status:
                raise
            detail = repr(error) if self.debug else "Something went wrong on our side."
            await problem_response(500, detail)(scope, receive, send_with_headers)
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round((perf_counter() - started) * 1000, 1),
            )
