import re
from collections.abc import Callable
from time import perf_counter
from uuid import uuid4

import structlog
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware

from apps.core.errors import (
    DomainError,
    error_response,
    failure,
    wants_problem,
    why_refused,
    why_unavailable,
    with_words,
)
from apps.core.uploads import too_large

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A browser shows no answer before it has sent everything, so this much is read and thrown away.
THROWN_AWAY = 100 * 1024 * 1024

# What Django answers by itself, with the handlers of config/urls.py.
ANSWERED = (Http404, PermissionDenied, SuspiciousOperation, BadRequest, MultiPartParserError)

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestContext:
    """The outermost layer: request id, one log line a request, and an answer in the caller's format
    to what nobody caught."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = perf_counter()

        response = with_words(request, self.get_response(request))

        response["X-Request-ID"] = request_id
        log = structlog.get_logger()
        static = request.path.startswith(settings.STATIC_URL)
        (log.debug if static else log.info)(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((perf_counter() - started) * 1000, 1),
        )
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DomainError):
            response = error_response(request, error.status, str(error))
            for name, value in (error.headers or {}).items():
                response[name] = value
            return response
        if why_unavailable(error):
            return failure(request, error)
        if refused := why_refused(request, error):
            # With its traceback: it may be a bug after all.
            structlog.get_logger().warning("refused_by_database", exc_info=error)
            return error_response(request, *refused)
        if wants_problem(request) and not isinstance(error, ANSWERED):
            structlog.get_logger().exception("request_failed")
            return failure(request, error)
        return None


class BodyLimit:
    """Refuses what is too large before anybody reads it; apps.core.uploads watches single files."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if request.headers.get("Transfer-Encoding") and length == "0":
            # Django would take it for an empty body.
            return error_response(request, 411, "Send the body's length: Content-Length.")
        limit = named = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if request.content_type == "multipart/form-data":
            # Who sends a file knows of the file's size only.
            named = settings.ENV.max_upload_size
            limit += named
        if length.isdecimal() and int(length) > limit:
            if int(length) <= THROWN_AWAY:
                while request.read(65536):
                    pass
            return error_response(request, 413, too_large(named))
        return self.get_response(request)


class KnownHosts(CommonMiddleware):
    """Refuses a forged Host, except for the health checks: who asks for those names an address."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path.startswith("/health/"):
            return None
        return super().process_request(request)


class ContentSecurityPolicy(CSPMiddleware):
    """django-csp, with the exceptions that settings.py states for single paths."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if parts.replace is None:
            for path, exception in settings.CONTENT_SECURITY_POLICY_EXCEPTIONS.items():
                if request.path.startswith(path):
                    parts.replace = exception
        return parts
