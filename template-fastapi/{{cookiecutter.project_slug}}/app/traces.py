"""Spans by OpenTelemetry: requests by their route, {{ "jobs, " if cookiecutter.jobs or cookiecutter.webhooks else "" }}and their SQL statements without values."""

import re
from collections.abc import AsyncIterator, {{ "Iterator, " if cookiecutter.jobs or cookiecutter.webhooks else "" }}Sequence
from contextlib import asynccontextmanager{{ ", contextmanager" if cookiecutter.jobs or cookiecutter.webhooks else "" }}
from functools import lru_cache
from threading import Thread
from typing import Any

{% if cookiecutter.jobs or cookiecutter.webhooks %}
import structlog
{% endif %}
from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from opentelemetry.context import Context
{% endif %}
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from structlog.typing import EventDict, WrappedLogger

from app.db import Database
from app.seldom import complain_seldom
from app.settings import SERVICE, Settings

TRACER = "app.traces"
EXPORT_WITHIN = 5.0  # seconds, with its repetitions
END_WITHIN = 3.0  # seconds, for what is left at shutdown

# Of a request nothing else leaves: paths, queries, hosts and headers hold what callers wrote.
KEPT_OF_REQUESTS = {
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.protocol.version",
    "url.scheme",
}
# What is written into a statement instead of being bound: texts, numbers.
LITERALS = re.compile(r"'(?:[^']|'')*'|(?<![\w$:.])\d+(?:\.\d+)?")


class Tracing:
    """Sends spans to the collector while the application lives; without APP_OTLP_ENDPOINT, nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.provider: TracerProvider | None = None
        if settings.otlp_endpoint:
            self.provider = TracerProvider(
                sampler=ParentBased(TraceIdRatioBased(settings.traces_sample_ratio)),
                resource=Resource.create(
                    {
                        "service.name": SERVICE,
                        "deployment.environment.name": settings.environment,
                    }
                ),
                shutdown_on_exit=False,
            )

    @property
    def telemetry(self) -> TelemetryConfig:
        """What FastAPI does by itself: spans of requests, and nothing else."""
        return {
            "tracer_provider": self.provider,
            "tracing": self.provider is not None,
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
            "exclude": lambda scope: scope["path"].startswith(("/health/", "/metrics")),
        }

    def install(self, app: FastAPI) -> None:
        if self.provider is not None:
            app.include_router(APIRouter(lifespan=self.lifespan))

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        assert self.provider is not None
        exporter = ScrubbingExporter(
            self.settings.otlp_endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces",
            headers=self.settings.otlp_header_values,
            timeout=EXPORT_WITHIN,
        )
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        # For spans of your own: opentelemetry.trace.get_tracer(__name__).
        trace.set_tracer_provider(self.provider)
        watch(app.state.database)
        complain_seldom(OTLPSpanExporter.__module__, "opentelemetry.sdk._shared_internal")
        yield
        # The library would wait for half a minute for a collector that is away.
        end = Thread(target=self.provider.shutdown, daemon=True)
        end.start()
        await to_thread.run_sync(end.join, END_WITHIN)
        if end.is_alive():
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the library has no types


def watch(database: Database) -> None:
    statements = Statements()
    for engine in {database.engine, database.reading}:
        statements.watch(engine.sync_engine)


{% if cookiecutter.jobs or cookiecutter.webhooks %}
@contextmanager
def work(table: str, name: str) -> Iterator[None]:
    """A trace of its own for a job or an event. Of the name the first word: what follows may be a
    sender's. The log lines about it carry its ids."""
    span_name = f"{table} {name.partition(' ')[0]}"
    with trace.get_tracer(TRACER).start_as_current_span(
        span_name, context=Context(), kind=SpanKind.CONSUMER
    ):
        structlog.contextvars.bind_contextvars(**ids())
        yield


{% endif %}
class Statements:
    """A span for each SQL statement below a span that is recorded."""

    def __init__(self) -> None:
        self.tracer = trace.get_tracer(TRACER)

    def watch(self, engine: Engine) -> None:
        event.listen(engine, "before_cursor_execute", self.begin)
        event.listen(engine, "after_cursor_execute", self.end)
        event.listen(engine, "handle_error", self.fail)

    def begin(
        self,
        connection: Connection,
        _cursor: Any,
        statement: str,
        _parameters: Any,
        context: ExecutionContext | None,
        _many: bool,
    ) -> None:
        if context is None or not trace.get_current_span().is_recording():
            return
        operation = statement.lstrip().partition(" ")[0].upper()
        context._span = self.tracer.start_span(  # type: ignore[attr-defined]  # of our own
            operation,
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": connection.dialect.name,
                "db.operation.name": operation,
                "db.query.text": without_literals(statement),
            },
        )

    def end(
        self,
        _connection: Connection,
        _cursor: Any,
        _statement: str,
        _parameters: Any,
        context: Any,
        _many: bool,
    ) -> None:
        if span := getattr(context, "_span", None):
            span.end()

    def fail(self, failure: ExceptionContext) -> None:
        if span := getattr(failure.execution_context, "_span", None):
            span.set_attribute("error.type", type(failure.original_exception).__name__)
            span.set_status(StatusCode.ERROR)
            span.end()


@lru_cache(maxsize=1000)
def without_literals(statement: str) -> str:
    return LITERALS.sub("?", statement)


class ScrubbingExporter(OTLPSpanExporter):
    """Whoever made a span: of requests only what is named above leaves, and of exceptions the type,
    since messages hold values. It runs in the background, not in requests."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return super().export([scrubbed(span) for span in spans])


def scrubbed(span: ReadableSpan) -> ReadableSpan:
    attributes = dict(span.attributes or {})
    if span.kind is SpanKind.SERVER:
        attributes = {name: attributes[name] for name in KEPT_OF_REQUESTS & attributes.keys()}
    return ReadableSpan(
        name=span.name,
        context=without_state(span.context),
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=[of_type_alone(one) if one.name == "exception" else one for one in span.events],
        links=span.links,
        kind=span.kind,
        # Without the description, which holds the exception's message.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def without_state(context: SpanContext | None) -> SpanContext | None:
    """Its trace state is a header of the caller's."""
    if context is None or not context.trace_state:
        return context
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def of_type_alone(exception: Event) -> Event:
    kind = (exception.attributes or {}).get("exception.type", "")
    return Event("exception", {"exception.type": kind}, exception.timestamp)


def add_ids(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Let a log line name its trace."""
    line.update(ids())
    return line


def ids() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
