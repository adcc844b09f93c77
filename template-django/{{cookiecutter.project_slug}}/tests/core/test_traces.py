import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from structlog.testing import capture_logs

from apps.core import traces
from apps.core.doctor import check_production
from apps.jobs.models import Job
from config.environment import Environment, headers_of, load_environment
from tests.core.observed import (
    Receiver,
    Secrets,
    a_process,
    a_receiver,
    a_server,
    a_worker,
    session_of,
    until,
)
from tests.users.factories import make_user

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
NOT_SAMPLED = f"00-{'1' * 32}-{PARENT}-00"

SPANS = """
import django
django.setup()
from opentelemetry import trace
for _ in range(2):
    with trace.get_tracer("test").start_as_current_span("span"):
        pass
    trace.get_tracer_provider().force_flush()
"""


def spans_of(receiver: Receiver) -> list[Span]:
    found = []
    for one in receiver.received:
        assert one.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(one.body).resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


def attributes_of(span: Any) -> dict[str, Any]:
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
        for one in span.attributes
    }


@contextmanager
def tracing(url: str, **settings: Any) -> Iterator[TracerProvider]:
    """As in a process that has it installed, but for this test only."""
    provider = traces.provider_of(Environment(otlp_endpoint=url, **settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "tracer", provider.get_tracer(__name__))
        try:
            yield provider
        finally:
            provider.shutdown()


def serve(
    traceparent: str = "", answer: Callable[[HttpRequest], HttpResponse] | None = None
) -> None:
    def hello(_: HttpRequest) -> HttpResponse:
        return HttpResponse()

    request = RequestFactory().get("/", headers={"traceparent": traceparent})
    traces.Traces(answer or hello)(request)


def test_the_caller_decides_and_else_the_ratio() -> None:
    with a_receiver() as receiver:
        with tracing(receiver.url, traces_sample_ratio=0):
            for traceparent in (TRACEPARENT, NOT_SAMPLED, "nonsense", ""):
                serve(traceparent)
        (span,) = spans_of(receiver)
        with tracing(receiver.url):
            for traceparent in (NOT_SAMPLED, "nonsense"):
                serve(traceparent)
        spans = spans_of(receiver)[1:]

    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert [one.parent_span_id for one in spans] == [b""]


def test_a_span_of_a_method_or_an_address_that_is_none_has_no_word_of_the_caller() -> None:
    with a_receiver() as receiver:
        with tracing(receiver.url):
            request = RequestFactory().generic("BREW", "/secret")
            traces.Traces(lambda _: HttpResponse(status=404))(request)
        (span,) = spans_of(receiver)

    assert span.name == "other unmatched"
    assert b"secret" not in receiver.bytes
    assert b"BREW" not in receiver.bytes


@pytest.mark.django_db
def test_values_written_into_a_statement_are_left_out_too() -> None:
    def answer(_: HttpRequest) -> HttpResponse:
        with connection.execute_wrapper(traces.trace_statement), connection.cursor() as cursor:
            cursor.execute("SELECT 'it''s secret', 17, %s AS t1", ["secret"])
        return HttpResponse()

    with a_receiver() as receiver:
        with tracing(receiver.url):
            serve(answer=answer)
        statement, request = spans_of(receiver)

    assert statement.name == "SELECT"
    assert statement.parent_span_id == request.span_id
    about = {"db.system.name": connection.vendor, "db.query.text": "SELECT ?, ?, %s AS t1"}
    assert attributes_of(statement) == about
    assert b"secret" not in receiver.bytes


@pytest.mark.django_db
def test_statements_that_no_request_and_no_job_asked_for_are_no_traces() -> None:
    with (
        a_receiver() as receiver,
        tracing(receiver.url),
        connection.execute_wrapper(traces.trace_statement),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")

    assert not receiver.received


def test_a_collector_that_is_away_is_one_line_until_it_is_back() -> None:
    with a_receiver() as gone:
        port = gone.server_port
    collector = traces.Collector(gone.url, timeout=0.1)
    with capture_logs() as lines:
        for _ in range(3):
            collector.export([])
    with a_receiver(port), capture_logs() as later:
        for _ in range(3):
            collector.export([])

    assert [line["event"] for line in lines] == ["traces_not_sent"]
    assert [line["event"] for line in later] == ["traces_sent_again"]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_of_a_collector_that_is_away_the_libraries_say_nothing(tmp_path: Path) -> None:
    away = "http://127.0.0.1:1"
    with a_process(tmp_path / "log", "-c", SPANS, otlp_endpoint=away) as process:
        assert process.process.wait(60) == 0

    (line,) = process.log.read_text().splitlines()
    assert "traces_not_sent" in line


@pytest.mark.slow
def test_nobody_waits_for_a_collector_and_the_end_waits_only_for_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending, begun = Event(), list[int]()

    def take(_: object, spans: Sequence[object]) -> SpanExportResult:
        begun.append(len(spans))
        ending.wait(60)
        time.sleep(0.4)
        return SpanExportResult.SUCCESS

    monkeypatch.setattr(OTLPSpanExporter, "export", take)
    monkeypatch.setattr(traces, "EXPORT_WITHIN", 0.2)
    with tracing("http://127.0.0.1:1") as provider:
        for _ in range(3000):
            serve()
        assert begun == [512]
        ending.set()
        provider.shutdown()

    # Of the four that still waited.
    assert len(begun) <= 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
@pytest.mark.django_db(transaction=True)
def test_a_trace_goes_from_the_caller_into_the_job_and_has_nothing_that_was_sent(
    tmp_path: Path,
) -> None:
    sent = Secrets()
    session = session_of(make_user("secretann"))
    with a_receiver() as receiver:
        settings = {"otlp_endpoint": receiver.url, "otlp_headers": "x-key=a%20b"}
        settings |= {"log_level": "info", "trusted_proxy": "true"}
        with (
            a_server(tmp_path / "web", **settings, **PRODUCTION) as server,
            a_worker(tmp_path / "worker", **settings, **PRODUCTION) as worker,
        ):
            assert sent.send_to(server, "/api/observed/hear", session) == 200
            assert sent.send_to(server, "/api/observed/fail", session) == 500
            for task in ("found", "fail"):
                path = f"/api/observed/ask/{task}?q={sent.markers['query']}"
                assert server.ask(path, Traceparent=TRACEPARENT)[0] == 200
            until(lambda: Job.objects.finished().count() == 2, server, worker)
            server.end()
            worker.end()
    spans = {span.span_id: span for span in spans_of(receiver)}

    def named(name: str) -> list[Span]:
        return [span for span in spans.values() if span.name == name]

    # From the caller through the request into the job, which another process ran.
    requests = named("GET /api/observed/ask/<task>")
    (job,) = named("tests.core.observed_urls.found")
    assert {request.parent_span_id.hex() for request in requests} == {PARENT}
    assert job.parent_span_id in {request.span_id for request in requests}
    assert {one.trace_id.hex() for one in [*requests, job]} == {TRACE}
    assert attributes_of(requests[0]) == {
        "http.request.method": "GET",
        "http.route": "/api/observed/ask/<task>",
        "http.response.status_code": 200,
    }

    # Statements of both, and of nobody else.
    statements = [span for span in spans.values() if span.kind == Span.SPAN_KIND_CLIENT]
    assert {requests[0].span_id, job.span_id} <= {one.parent_span_id for one in statements}
    assert all(one.parent_span_id in spans for one in statements)

    # What went wrong, without its words.
    (failed,) = named("POST /api/observed/fail/<name>")
    (failed_job,) = named("tests.core.observed_urls.fail")
    assert failed.status.code == failed_job.status.code == Status.STATUS_CODE_ERROR
    errors = {attributes_of(one).get("error.type") for one in spans.values()}
    assert errors == {None, "IntegrityError", "LookupError"}

    # Lines of the log find their trace.
    lines = [*lines_of(server.log), *lines_of(worker.log)]
    events = {line["event"]: line for line in lines if line.get("trace_id") == TRACE}
    assert events["founded"]["span_id"] == job.span_id.hex()
    assert bytes.fromhex(events["request"]["span_id"]) in {one.span_id for one in requests}

    resource = ExportTraceServiceRequest.FromString(receiver.received[0].body).resource_spans[0]
    about = attributes_of(resource.resource)
    assert about["service.name"]
    assert about["deployment.environment.name"] == "production"
    assert {one.headers["x-key"] for one in receiver.received} == {"a b"}

    assert sent.in_text(receiver.bytes) == []
    assert b"secretann" not in receiver.bytes
    assert session.encode() not in receiver.bytes


PRODUCTION = {
    "environment": "production",  # logs are JSON
    "secret_key": "x" * 48,
    "allowed_hosts": "127.0.0.1",
    "public_url": "http://127.0.0.1",
    "email_url": "console:",
    "s3_bucket": "files",
    "https": "false",
}


def lines_of(log: Path) -> list[dict[str, Any]]:
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "OTLP_ENDPOINT",
            "secret:4318",
            "APP_OTLP_ENDPOINT is not the address of a collector: write it like",
        ),
        ("OTLP_HEADERS", "a: secret", "APP_OTLP_HEADERS is not a list of headers: write it like"),
        ("OTLP_HEADERS", "a=secret%0A", "APP_OTLP_HEADERS is not a list of headers: write it like"),
        ("TRACES_SAMPLE_RATIO", "2", "APP_TRACES_SAMPLE_RATIO must be 1.0 or less"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"APP_{name}", value)

    with pytest.raises(SystemExit) as refused:
        load_environment()

    assert str(refused.value).startswith(sentence)
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_headers_and_addresses_are_understood_as_vendors_write_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APP_OTLP_ENDPOINT", "https://otlp.example.com/otlp/v1/traces")

    assert Environment().otlp_endpoint == "https://otlp.example.com/otlp"
    assert headers_of("Authorization=Basic YQ==, x-team=a%2Cb") == {
        "Authorization": "Basic YQ==",
        "x-team": "a,b",
    }


def test_doctor_says_that_production_sends_nothing() -> None:
    environment = Environment()
    assert not environment.otlp_endpoint

    assert ("warning", "No traces are sent: APP_OTLP_ENDPOINT is not set.") in list(
        check_production(environment)
    )
