"""Errors to Sentry: where and of which type they were, with nothing that callers wrote."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import sentry_sdk
import structlog
from fastapi import APIRouter, FastAPI
from opentelemetry import trace
from sentry_sdk.types import Event, Hint
from structlog.typing import EventDict, WrappedLogger

from app.errors import DomainError
from app.seldom import complain_seldom
from app.settings import Settings

END_WITHIN = 2.0  # seconds, for what is left at shutdown

# Nothing else leaves. The messages of exceptions hold values: a row that exists already, a text
# that is no number. They stand in the log, under the same request id.
KEPT = {"environment", "event_id", "level", "platform", "release", "sdk", "tags", "timestamp"}
KEPT_OF_EXCEPTIONS = {"mechanism", "module", "type"}
KEPT_OF_MECHANISMS = {
    "exception_id",
    "handled",
    "is_exception_group",
    "parent_id",
    "source",
    "type",
}
KEPT_OF_FRAMES = {"filename", "function", "in_app", "lineno", "module"}


def install(app: FastAPI, settings: Settings) -> None:
    dsn = settings.sentry_dsn.get_secret_value()
    if not dsn:
        return
    sentry_sdk.init(
        dsn,
        environment=settings.environment,
        # Without one the SDK would run git to make one up.
        release=os.environ.get("SENTRY_RELEASE", ""),
        before_send=before_send,
        # None of them: they read requests and change other libraries. report_logged sees it all.
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        include_local_variables=False,
        # Your source code stays here, and an error costs one millisecond instead of six.
        include_source_context=False,
        max_breadcrumbs=0,
        send_client_reports=False,
        spotlight=False,
    )
    # By which the SDK sends.
    complain_seldom("urllib3.connectionpool")
    handlers: dict[Any, Any] = app.exception_handlers
    for kind, handler in handlers.items():
        handlers[kind] = reporting(handler)
    app.include_router(APIRouter(lifespan=lifespan))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(sentry_sdk.flush, END_WITHIN)


def reporting(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Also what is answered on purpose is an error when the answer says that we failed."""

    async def handle(request: Any, error: Exception) -> Any:
        response = await handler(request, error)
        if getattr(response, "status_code", 0) >= 500:
            report(error)
        return response

    return handle


def report_logged(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Report what is logged as an error with its exception, such as what no route caught."""
    error = line.get("exc_info")
    if error and line.get("level") in ("error", "critical"):
        if isinstance(error, tuple):
            error = error[1]
        report(error if isinstance(error, BaseException) else sys.exc_info()[1])
    return line


def report(error: BaseException | None) -> None:
    """Once for each error; never for a refusal."""
    if not isinstance(error, Exception) or isinstance(error, DomainError):
        return
    if getattr(error, "reported", False):
        return
    # A few exceptions take no attributes.
    with suppress(AttributeError):
        error.reported = True  # type: ignore[attr-defined]  # of our own
    known = structlog.contextvars.get_contextvars()
    tags = {name: str(known[name]) for name in ("request_id", "job", "job_id") if name in known}
    sentry_sdk.capture_exception(error, tags=tags)


def before_send(event: Event, _: Hint) -> Event | None:
    """What leaves of an event: named above, so that a newer SDK does not send more."""
    exceptions: list[dict[str, Any]] = list(event.get("exception", {}).get("values", []))
    if not exceptions:
        return None
    sent: dict[str, Any] = {name: value for name, value in event.items() if name in KEPT and value}
    sent["exception"] = {"values": [scrubbed(exception) for exception in exceptions]}
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        ids = {
            "trace_id": trace.format_trace_id(span.trace_id),
            "span_id": trace.format_span_id(span.span_id),
        }
        sent["contexts"] = {"trace": ids}
    return sent  # type: ignore[return-value]


def scrubbed(exception: dict[str, Any]) -> dict[str, Any]:
    sent = only(exception, KEPT_OF_EXCEPTIONS)
    if mechanism := exception.get("mechanism"):
        sent["mechanism"] = only(mechanism, KEPT_OF_MECHANISMS)
    if stack := exception.get("stacktrace"):
        sent["stacktrace"] = {"frames": [only(frame, KEPT_OF_FRAMES) for frame in stack["frames"]]}
    return sent


def only(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
