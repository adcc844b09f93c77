import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sentry_sdk
import structlog
from fastapi import FastAPI, HTTPException
from httpx2 import AsyncClient
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from pydantic import SecretStr, ValidationError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app import logs, sentry
from app.errors import NotFoundError
from app.health import NotReadyError
from app.main import create_app
from app.settings import Settings, explain
from tests.conftest import client_of
from tests.leaks import (
    MARK,
    add_route_that_knows_much,
    ask_with_secrets,
    assert_nothing_leaked,
)
from tests.receiver import Receiver, receiving

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def logs_as_before(settings: Settings) -> Iterator[None]:
    yield
    logs.configure(settings)


@pytest.fixture
def store() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def reported(settings: Settings, port: int, **more: object) -> AsyncIterator[AsyncClient]:
    """A client of a running application; when it has ended, its errors have been sent."""
    dsn = SecretStr(f"http://key@127.0.0.1:{port}/42")
    values = {"sentry_dsn": dsn, "trusted_proxy": True}
    app = create_app(settings.model_copy(update=values | more))
    add_routes(app)
    try:
        async with app.router.lifespan_context(app), client_of(app) as client:
            yield client
    finally:
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)


def add_routes(app: FastAPI) -> None:
    add_route_that_knows_much(app)

    @app.get("/fails/{how}")
    def fails(how: str) -> None:
        error = ERRORS[how]()
        if how == "twice":
            try:
                raise error
            except OSError:
                log.exception("seen first here")
        raise error


ERRORS: dict[str, Any] = {
    "bug": lambda: ZeroDivisionError(MARK),
    "twice": lambda: OSError(5, MARK, f"{MARK}.pdf"),
    "group": lambda: ExceptionGroup(MARK, [ValueError(MARK), KeyError(MARK)]),
    "busy": lambda: PoolTimeoutError(MARK),
    "gateway": lambda: HTTPException(502, MARK),
    "refused": lambda: HTTPException(409),
    "missing": lambda: NotFoundError(MARK),
    "unready": lambda: NotReadyError(MARK),
}


def events(store: Receiver) -> list[dict[str, Any]]:
    """Envelopes are lines: a header, then for each item its header and its contents."""
    items = []
    for body in store.bodies:
        lines = body.splitlines()[1:]
        for header, contents in zip(lines[::2], lines[1::2], strict=True):
            assert json.loads(header)["type"] == "event"
            items.append(json.loads(contents))
    return items


def types(store: Receiver) -> list[list[str]]:
    return [[one["type"] for one in event["exception"]["values"]] for event in events(store)]


async def test_an_error_is_reported_with_its_type_and_where_it_was(
    settings: Settings, store: Receiver
) -> None:
    async with reported(settings, store.port) as client:
        answer = await client.get("/fails/bug", headers={"X-Request-ID": "abc"})

    assert answer.status_code == 500
    assert store.paths == ["/api/42/envelope/"]
    (event,) = events(store)
    (error,) = event["exception"]["values"]
    assert error["type"] == "ZeroDivisionError"
    frame = error["stacktrace"]["frames"][-1]
    assert (frame["module"], frame["function"]) == (__name__, "fails")
    assert frame["lineno"] > 0
    assert event["tags"] == {"request_id": "abc"}
    assert event["environment"] == "development"
    assert "release" not in event
    assert_nothing_leaked(store.everything)


@pytest.mark.parametrize(
    ("how", "status", "kinds"),
    [
        ("twice", 500, ["OSError"]),
        ("group", 500, ["ExceptionGroup", "ValueError", "KeyError"]),
        ("busy", 503, ["TimeoutError"]),
        ("gateway", 502, ["HTTPException"]),
    ],
)
async def test_what_is_answered_with_5xx_is_reported_once(
    settings: Settings, store: Receiver, how: str, status: int, kinds: list[str]
) -> None:
    async with reported(settings, store.port) as client:
        assert (await client.get(f"/fails/{how}")).status_code == status

    (sent,) = types(store)
    assert sorted(sent) == sorted(kinds)
    assert_nothing_leaked(store.everything)


async def test_refusals_are_not_reported(settings: Settings, store: Receiver) -> None:
    async with reported(settings, store.port) as client:
        for path, status in {
            "/fails/refused": 409,
            "/fails/missing": 404,
            "/fails/unready": 503,
            "/nowhere": 404,
        }.items():
            assert (await client.get(path)).status_code == status
        assert (await client.post("/fails/bug")).status_code == 405
        assert (await client.get("/fails/bug")).status_code == 500

    assert types(store) == [["ZeroDivisionError"]]


async def test_what_is_logged_as_an_error_with_its_exception_is_reported(
    settings: Settings, store: Receiver
) -> None:
    async with reported(settings, store.port):
        for error in (ValueError(MARK), NotFoundError(MARK)):
            log.error(MARK, exc_info=error, field=MARK)
        log.error(MARK)
        log.warning(MARK, exc_info=KeyError(MARK))
        try:
            raise LookupError(MARK)
        except LookupError:
            logging.getLogger("elsewhere").exception("%s", MARK)
        # What a task that nobody waits for leaves behind.
        failed = {"message": MARK, "exception": TypeError(MARK)}
        asyncio.get_running_loop().default_exception_handler(failed)
        sentry_sdk.capture_message(MARK)

    assert types(store) == [["ValueError"], ["LookupError"], ["TypeError"]]
    assert_nothing_leaked(store.everything)


@pytest.mark.parametrize(("fail", "status"), [("", 200), ("constraint", 500), ("message", 500)])
async def test_nothing_secret_or_personal_leaves(
    settings: Settings, store: Receiver, fail: str, status: int
) -> None:
    async with reported(settings, store.port) as client:
        assert await ask_with_secrets(client, fail) == status
        # Something has to be sent, or nothing would be proved.
        await client.get("/fails/bug")

    # The inner error of a message is logged first, and then is the cause of the outer one.
    assert [sent[-1] for sent in types(store)] == {
        "": ["ZeroDivisionError"],
        "constraint": ["IntegrityError", "ZeroDivisionError"],
        "message": ["ValueError", "RuntimeError", "ZeroDivisionError"],
    }[fail]
    assert_nothing_leaked(store.everything)


async def test_an_event_names_the_trace_it_belongs_to(settings: Settings, store: Receiver) -> None:
    span = NonRecordingSpan(SpanContext(17, 4, is_remote=True, trace_flags=TraceFlags(1)))
    async with reported(settings, store.port) as client:
        with trace.use_span(span):
            await client.get("/fails/bug")

    (event,) = events(store)
    assert event["contexts"] == {"trace": {"trace_id": f"{17:032x}", "span_id": f"{4:016x}"}}


async def test_a_release_is_named_when_somebody_says_which(
    settings: Settings, store: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_RELEASE", "v17")
    async with reported(settings, store.port) as client:
        await client.get("/fails/bug")

    assert [event["release"] for event in events(store)] == ["v17"]


async def test_a_sentry_that_is_away_changes_nothing_and_is_mentioned_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sentry, "END_WITHIN", 0.2)

    async with reported(settings, port=1) as client, asyncio.timeout(5):
        for _ in range(20):
            assert (await client.get("/fails/bug")).status_code == 500

    assert capsys.readouterr().out.count("Retrying") == 1


async def test_without_a_dsn_nothing_is_set_up(settings: Settings) -> None:
    app = create_app(settings)

    assert not sentry_sdk.get_client().is_active()
    assert sentry.reporting.__name__ not in str(app.exception_handlers)
    assert sentry.report_logged not in structlog.get_config()["processors"]


@pytest.mark.parametrize(
    "dsn",
    [
        MARK,
        f"https://sentry.example.com/{MARK}",
        f"https://{MARK}@sentry.example.com/x",
        "https://[/1",
    ],
)
def test_nonsense_is_refused_in_one_sentence_and_not_repeated(dsn: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, environment="development", sentry_dsn=SecretStr(dsn))

    (said,) = explain(refused.value)
    assert said.startswith("APP_SENTRY_DSN is not a DSN of Sentry: write it like https://")
    assert MARK not in said
