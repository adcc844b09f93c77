"""Traces by OpenTelemetry, to a collector that takes OTLP over HTTP: a span for each request, for
each SQL statement in it, and for each job, which goes on with the trace of whoever asked for it.

Spans hold names, patterns and numbers: nothing of what a caller sent, and no values.

Imported with the logs, before the apps are there: nothing of theirs may be imported here.
"""

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

import structlog
from celery import signals
from django.conf import settings
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_save
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict

from apps.core.routes import method_of, route_of
from config.environment import Environment, headers_of

EXPORT_WITHIN = 3.0  # seconds for each batch, and for all that is left at the end
LONGEST_TEXT = 4_096  # characters of a statement
# Texts and numbers that stand in a statement itself.
LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")

logger = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)
# Not the baggage and not the tracestate: both are whatever a caller likes.
propagator = TraceContextTextMapPropagator()


class Collector(OTLPSpanExporter):
    """Says once that the collector is away, and once that it is back."""

    reached = True
    ends = float("inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if monotonic() > self.ends:
            return SpanExportResult.FAILURE
        result = super().export(spans)
        reached = result is SpanExportResult.SUCCESS
        if reached != self.reached:
            self.reached = reached
            logger.warning("traces_sent_again" if reached else "traces_not_sent")
        return result


class Batches(BatchSpanProcessor):
    def shutdown(self) -> None:
        """Send what is left, for some seconds at most. Called at the end of the process."""
        self.span_exporter.ends = monotonic() + EXPORT_WITHIN
        super().shutdown()  # type: ignore[no-untyped-call]  # the library has no types


def provider_of(environment: Environment) -> TracerProvider:
    """Its thread begins here. At the end of the process it sends what it still has."""
    collector = Collector(
        endpoint=f"{environment.otlp_endpoint}/v1/traces",
        headers=headers_of(environment.otlp_headers.get_secret_value()) or None,
        timeout=EXPORT_WITHIN,
    )
    about = {
        "service.name": settings.SERVICE_NAME,
        "deployment.environment.name": environment.environment,
    }
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(environment.traces_sample_ratio)),
        resource=Resource.create(about),
        span_limits=SpanLimits(max_attribute_length=LONGEST_TEXT),
    )
    provider.add_span_processor(Batches(collector))
    return provider


def install(environment: Environment) -> None:
    """From now on until the process ends: in a process of its own, after gunicorn's fork."""
    trace.set_tracer_provider(provider_of(environment))
    # They write lines for each batch that a collector does not take.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    connection_created.connect(watch)
    pre_save.connect(keep_trace, sender="jobs.Job")
    signals.task_prerun.connect(begin_job)
    signals.task_failure.connect(fail_job)
    signals.task_postrun.connect(end_job)


def flush() -> None:
    """For processes that end without Python's own way out."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def add_ids(_: object, __: str, event: EventDict) -> EventDict:
    """For structlog: lines of the log name the span that they were written in."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event


class Traces:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith("/health/"):
            return self.get_response(request)
        method = method_of(request)
        with span_of(
            method,
            SpanKind.SERVER,
            {"http.request.method": method},
            context_of(request.headers.get("traceparent")),
        ) as span:
            response = self.get_response(request)
            route, status = route_of(request), response.status_code
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                span.set_status(StatusCode.ERROR)
        return response


def span_of(
    name: str,
    kind: SpanKind,
    attributes: dict[str, str],
    parent: context.Context | None = None,
) -> AbstractContextManager[trace.Span]:
    """Without the messages of exceptions: they hold values."""
    return tracer.start_as_current_span(
        name,
        parent,
        kind,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    )


def context_of(traceparent: str | None) -> context.Context:
    return propagator.extract({"traceparent": traceparent or ""}, context.Context())


def watch(connection: Any, **_: Any) -> None:
    if trace_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(trace_statement)


def trace_statement(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, about: dict[str, Any]
) -> Any:
    """Around each statement, as Django offers it: the text comes without the values. What no request
    and no job asked for, such as a look for jobs, is left out."""
    if not trace.get_current_span().is_recording():
        return execute(sql, params, many, about)
    text = LITERAL.sub("?", sql) if isinstance(sql, str) else ""
    name = text.split(maxsplit=1)[0].upper() if text.strip() else "SQL"
    attributes = {"db.system.name": about["connection"].vendor, "db.query.text": text}
    with span_of(name, SpanKind.CLIENT, attributes) as span:
        try:
            return execute(sql, params, many, about)
        except Exception as error:
            fail(span, error)
            raise


def fail(span: trace.Span, error: BaseException) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", type(error).__qualname__)


def keep_trace(instance: Any, **_: Any) -> None:
    """A job keeps the trace that it belongs to next to how it is sent: in the ledger, so that it
    comes along however often, and by whomever, its message is sent."""
    headers: dict[str, str] = {}
    if instance._state.adding:
        propagator.inject(headers)
    if headers:
        instance.options = instance.options | {"headers": headers}


def begin_job(task: Any, **_: Any) -> None:
    span = tracer.start_span(
        task.name,
        context_of(task.request.get("traceparent")),
        SpanKind.CONSUMER,
        {"messaging.system": "celery", "messaging.message.id": task.request.id},
    )
    task.request.trace_token = context.attach(trace.set_span_in_context(span))


def fail_job(exception: BaseException, **_: Any) -> None:
    fail(trace.get_current_span(), exception)


def end_job(task: Any, **_: Any) -> None:
    if token := task.request.get("trace_token"):
        span = trace.get_current_span()
        if task.request.get("lease") is None:
            # The ledger had nothing to do: the message came twice.
            span.update_name(f"{task.name} (not due)")
        span.end()
        context.detach(token)
