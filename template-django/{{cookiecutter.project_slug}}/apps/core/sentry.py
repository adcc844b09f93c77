"""Errors to Sentry: what the log has as an error, with a traceback, and nothing else.

What leaves is the type of the error and its stack, where it happened, and the request id, by which
the log has the rest. Messages of exceptions stay here: they hold values.

Imported with the logs, before the apps are there: what needs them is imported later.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import sentry_sdk
import structlog
from celery import current_task
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.types import Event, Hint
from structlog.typing import EventDict

from apps.core.routes import route_of
from config.environment import Environment

FLUSH_WITHIN = 2.0  # seconds
# Of an event these leave, whatever the library adds to it one day.
KEPT = {
    *("event_id", "timestamp", "level", "platform", "environment", "release", "sdk"),
    *("exception", "transaction", "transaction_info", "tags", "contexts"),
}
# Not their whole paths: a folder may have somebody's name.
KEPT_OF_FRAMES = {
    *("filename", "function", "module", "lineno", "in_app"),
    *("pre_context", "context_line", "post_context"),
}
KEPT_OF_MECHANISMS = {"type", "handled", "exception_id", "parent_id", "source"}


def install(environment: Environment) -> None:
    """From now on until the process ends."""
    sentry_sdk.init(
        dsn=environment.sentry_dsn.get_secret_value(),
        environment=environment.environment,
        # Given by whoever deploys, or none: what could be guessed here is right only by chance.
        release=os.environ.get("SENTRY_RELEASE", ""),
        # Not Django's and Celery's: they collect from requests and tasks, and see less than the log.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda *_: None),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
        ],
        before_send=scrub,
        include_local_variables=False,
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        spotlight=False,
        shutdown_timeout=FLUSH_WITHIN,
    )
    # What its thread says of a Sentry that is away: a line for each attempt.
    logging.getLogger("urllib3.connectionpool").addFilter(
        lambda record: not str(record.threadName).startswith("sentry")
    )


def flush() -> None:
    """Send what is left, for some seconds at most."""
    sentry_sdk.flush(FLUSH_WITHIN)


class Sentry:
    """So that an error says at which address it happened. Just inside of RequestContext, which
    answers for exceptions."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with sentry_sdk.isolation_scope():
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        sentry_sdk.get_isolation_scope().set_transaction_name(route_of(request), source="route")

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        from apps.core.errors import why_unavailable

        if why_unavailable(error):
            # Answered with 503, and in the log without its traceback.
            capture(error, structlog.contextvars.get_contextvars())


def report(_: object, __: str, event: EventDict) -> EventDict:
    """For structlog: every error that nobody expected comes by here, of requests as of jobs."""
    if event.get("level") in ("error", "critical") and (error := error_of(event.get("exc_info"))):
        capture(error, event)
    return event


def error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def capture(error: BaseException, about: Mapping[str, Any]) -> None:
    with sentry_sdk.new_scope() as scope:
        if current_task:
            scope.set_transaction_name(current_task.name, source="task")
            scope.set_tag("job", current_task.request.id)
        if "request_id" in about:
            scope.set_tag("request_id", about["request_id"])
        if "trace_id" in about:
            scope.set_context("trace", {name: about[name] for name in ("trace_id", "span_id")})
        sentry_sdk.capture_exception(error)


def scrub(event: Event, hint: Hint) -> Event | None:
    from apps.core.errors import DomainError

    error = (hint.get("exc_info") or (None, None))[1]
    if isinstance(error, DomainError) or not isinstance(error, Exception):
        return None
    if getattr(error, "is_at_sentry", False):
        return None
    # A few exceptions take no attributes.
    with suppress(AttributeError):
        error.is_at_sentry = True  # type: ignore[attr-defined]  # of our own
    whole: Any = event
    keep(whole, KEPT)
    for exception in whole["exception"]["values"]:
        exception.pop("value", None)
        keep(exception.get("mechanism") or {}, KEPT_OF_MECHANISMS)
        for frame in (exception.get("stacktrace") or {}).get("frames", []):
            keep(frame, KEPT_OF_FRAMES)
    return event


def keep(fields: dict[str, Any], names: set[str]) -> None:
    for name in set(fields) - names:
        del fields[name]
