import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span{{ ", Status" if cookiecutter.jobs or cookiecutter.webhooks else "" }}
from opentelemetry.util._once import Once
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from sqlalchemy.ext.asyncio import AsyncSession
{% endif %}

from app import logs, traces
from app.db import Reader
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from app.jobs import registry
from app.jobs.registry import GiveUpError
{% endif %}
from app.main import create_app
from app.settings import SERVICE, Settings, explain
from tests.conftest import client_of
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from tests.jobs.working import add, finished
{% endif %}
from tests.leaks import (
    MARK,
    add_route_that_knows_much,
    ask_with_secrets,
    assert_nothing_leaked,
)
from tests.receiver import Receiver, receiving

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def no_provider_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes one provider for each process, and gives it back to nobody."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.fixture(autouse=True)
def logs_as_before(settings: Settings) -> Iterator[None]:
    yield
    logs.configure(settings)


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def traced(settings: Settings, port: int, **more: object) -> AsyncIterator[AsyncClient]:
    """A client of a running application; when it has ended, its spans have been sent."""
    values = {"otlp_endpoint": f"http://127.0.0.1:{port}", "trusted_proxy": True}
    app = create_app(settings.model_copy(update=values | more))
    add_routes(app)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def add_routes(app: FastAPI) -> None:
    add_route_that_knows_much(app)

    @app.get("/rows/{row_id}")
    async def rows(row_id: int, session: Reader) -> int:
        return await session.scalar(text("SELECT :row"), {"row": str(row_id)}) and row_id

    @app.get("/own")
    async def own() -> None:
        with trace.get_tracer("mine").start_as_current_span("reckon", attributes={"rows": 3}):
            raise ValueError(MARK)


def spans(collector: Receiver) -> list[Span]:
    return [
        span
        for body in collector.bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def named(collector: Receiver, name: str) -> Span:
    (span,) = [span for span in spans(collector) if span.name == name]
    return span


def attributes(span: Span) -> dict[str, str]:
    return {one.key: str(one.value) for one in span.attributes}


async def test_a_request_is_a_span_by_its_route_and_each_statement_one_below_it(
    settings: Settings, collector: Receiver
) -> None:
    async with traced(settings, collector.port) as client:
        assert (await client.get("/rows/17")).status_code == 200

    request, statement = named(collector, "GET /rows/{row_id}"), named(collector, "SELECT")
    assert request.kind == Span.SPAN_KIND_SERVER
    assert statement.kind == Span.SPAN_KIND_CLIENT
    assert statement.parent_span_id == request.span_id
    assert statement.trace_id == request.trace_id
    assert set(attributes(request)) <= traces.KEPT_OF_REQUESTS
    assert "200" in attributes(request)["http.response.status_code"]
    assert "SELECT" in attributes(statement)["db.query.text"]
    assert "17" not in str(attributes(statement))
    assert collector.paths == ["/v1/traces"]


{% if cookiecutter.jobs or cookiecutter.webhooks %}
async def test_a_job_is_a_trace_of_its_own_with_its_statements_and_log_lines(
    settings: Settings, collector: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    async def reckon(session: AsyncSession) -> None:
        await session.execute(text("SELECT 'reckoned'"))
        raise GiveUpError(MARK)

    registry.job(name="reckon")(reckon)
    more = {"otlp_endpoint": f"http://127.0.0.1:{collector.port}", "environment": "production"}
    app = create_app(settings.model_copy(update=more | {"embedded_worker": True}))
    try:
        async with app.router.lifespan_context(app):
            job_id = await add(app.state.database, reckon)
            await finished(app.state.database, job_id)
    finally:
        registry.JOBS.pop("reckon")

    job = named(collector, "jobs reckon")
    assert job.kind == Span.SPAN_KIND_CONSUMER
    assert not job.parent_span_id
    assert job.status.code == Status.STATUS_CODE_ERROR
    below = [span for span in spans(collector) if span.parent_span_id == job.span_id]
    assert "SELECT ?" in str([attributes(span) for span in below])
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "work_dead" in one]
    assert json.loads(line)["trace_id"] == job.trace_id.hex()
    assert_nothing_leaked(collector.everything)


{% endif %}
async def test_spans_name_the_service_and_its_environment(
    settings: Settings, collector: Receiver
) -> None:
    async with traced(settings, collector.port) as client:
        await client.get("/rows/17")

    request = ExportTraceServiceRequest.FromString(collector.bodies[0])
    resource = {
        one.key: one.value.string_value for one in request.resource_spans[0].resource.attributes
    }
    assert resource["service.name"] == SERVICE
    assert resource["deployment.environment.name"] == "development"


async def test_a_span_continues_the_trace_of_the_caller(
    settings: Settings, collector: Receiver
) -> None:
    async with traced(settings, collector.port, traces_sample_ratio=0) as client:
        taken = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        await client.get("/rows/17", headers=taken)
        # Of these the caller, and then the ratio, wants none.
        await client.get("/health/ready", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
        await client.get("/own")

    request = named(collector, "GET /rows/{row_id}")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert {span.name for span in spans(collector)} == {"GET /rows/{row_id}", "SELECT"}


async def test_health_checks_make_no_spans(settings: Settings, collector: Receiver) -> None:
    async with traced(settings, collector.port) as client:
        await client.get("/health/ready")
        await client.get(f"/nowhere/{MARK}")

    assert [span.name for span in spans(collector)] == ["GET"]
    assert_nothing_leaked(collector.everything)


@pytest.mark.parametrize(("fail", "status"), [("", 200), ("constraint", 500), ("message", 500)])
async def test_nothing_secret_or_personal_leaves(
    settings: Settings, collector: Receiver, fail: str, status: int
) -> None:
    async with traced(settings, collector.port) as client:
        assert await ask_with_secrets(client, fail) == status

    assert_nothing_leaked(collector.everything)
    request = named(collector, "POST /people/{name}")
    assert str(status) in attributes(request)["http.response.status_code"]
    failed = [span for span in spans(collector) if "error.type" in attributes(span)]
    assert {span.name for span in failed} == {
        "": set(),
        "constraint": {"POST /people/{name}", "INSERT"},
        "message": {"POST /people/{name}"},
    }[fail]


async def test_spans_of_your_own_are_sent_with_the_types_of_exceptions_alone(
    settings: Settings, collector: Receiver
) -> None:
    async with traced(settings, collector.port) as client:
        assert (await client.get("/own")).status_code == 500

    own = named(collector, "reckon")
    assert own.parent_span_id == named(collector, "GET /own").span_id
    assert attributes(own).keys() == {"rows"}
    assert [one.value.string_value for one in own.events[0].attributes] == ["ValueError"]
    assert_nothing_leaked(collector.everything)


async def test_log_lines_name_their_trace(
    settings: Settings, collector: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"environment": "production", "log_level": "info"}
    async with traced(settings, collector.port, **more) as client:
        await client.get("/own")
        logging.getLogger("elsewhere").error("without a request")

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    span = named(collector, "GET /own")
    for event in ("request", "request_failed"):
        line = next(line for line in lines if line["event"] == event)
        assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())
    assert "trace_id" not in next(line for line in lines if line["event"] == "without a request")


async def test_a_collector_gets_the_headers_it_wants(
    settings: Settings, collector: Receiver
) -> None:
    headers = SecretStr("x-api-key=abc,Authorization=Basic%20eA==")
    async with traced(settings, collector.port, otlp_headers=headers) as client:
        await client.get("/rows/17")

    assert collector.headers[0]["x-api-key"] == "abc"
    assert collector.headers[0]["authorization"] == "Basic eA=="


async def test_a_collector_that_does_not_answer_keeps_nobody_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "EXPORT_WITHIN", 30)
    monkeypatch.setattr(traces, "END_WITHIN", 0.2)
    # Each span is a batch.
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    with receiving(silent=True) as collector:
        async with traced(settings, collector.port) as client, asyncio.timeout(10):
            for _ in range(20):
                assert (await client.get("/rows/17")).status_code == 200
            ending = time.monotonic()
        assert time.monotonic() - ending < 10

    assert len(collector.bodies) == 1


async def test_a_collector_that_is_away_is_mentioned_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(traces, "EXPORT_WITHIN", 0.05)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")

    async with traced(settings, port=1) as client:
        for _ in range(5):
            assert (await client.get("/rows/17")).status_code == 200

    assert capsys.readouterr().out.count("Failed to export") == 1


async def test_without_a_collector_there_are_no_spans(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    tracing = traces.Tracing(settings)
    app = create_app(settings.model_copy(update={"log_level": "info"}))

    async with app.router.lifespan_context(app), client_of(app) as client:
        await client.get("/health/live", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
        provider = trace.get_tracer_provider()

    assert tracing.provider is None
    assert not any(tracing.telemetry[name] for name in ("tracing", "metrics", "logs"))
    assert isinstance(provider, trace.ProxyTracerProvider)
    assert "trace_id" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        (
            "SELECT a1 FROM t2 WHERE x = 17 AND y = 'it''s' LIMIT 1.5",
            "SELECT a1 FROM t2 WHERE x = ? AND y = ? LIMIT ?",
        ),
        ("SELECT $1::VARCHAR, :param_1, ?", "SELECT $1::VARCHAR, :param_1, ?"),
    ],
)
def test_what_is_written_into_a_statement_is_left_out(statement: str, sent: str) -> None:
    assert traces.without_literals(statement) == sent


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"otlp_endpoint": "collector:4318"},
            "APP_OTLP_ENDPOINT is not the address of a collector",
        ),
        ({"otlp_headers": "abc"}, "APP_OTLP_HEADERS is not a list of headers"),
        ({"otlp_headers": "a b=c"}, "APP_OTLP_HEADERS is not a list of headers"),
        ({"traces_sample_ratio": 2}, "APP_TRACES_SAMPLE_RATIO must be 1.0 or less"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, environment="development", **values)  # type: ignore[arg-type]

    (said,) = explain(refused.value)
    assert said.startswith(sentence)
    assert "abc" not in said
