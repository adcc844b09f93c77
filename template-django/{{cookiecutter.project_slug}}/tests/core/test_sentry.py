import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from apps.core import sentry
from apps.core.doctor import check_production
from apps.core.errors import DomainError, NotFoundError
from apps.jobs.models import Job
from config.environment import ROOT, Environment, load_environment
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

ERRORS = """
import django
django.setup()
import structlog
for number in range(300):
    try:
        raise RuntimeError(number)
    except RuntimeError:
        structlog.get_logger().exception("failed")
"""


def events_of(receiver: Receiver) -> list[dict[str, Any]]:
    events = []
    for one in receiver.received:
        assert one.path == "/api/1/envelope/"
        _, *items = one.body.splitlines()
        for header, payload in zip(items[::2], items[1::2], strict=True):
            assert json.loads(header)["type"] == "event"
            events.append(json.loads(payload))
    return events


def told_by(receiver: Receiver) -> list[tuple[str, str]]:
    """Where each error happened, and its type."""
    return sorted(
        (event["transaction"], event["exception"]["values"][-1]["type"])
        for event in events_of(receiver)
    )


@pytest.fixture
def sent() -> Iterator[list[Any]]:
    """What a client of this test alone would send."""
    events: list[Any] = []

    class Keeping(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            events.append(envelope.get_event())

    client = sentry_sdk.Client(
        dsn="http://key@127.0.0.1:1/1",
        transport=Keeping,
        before_send=sentry.scrub,
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    with sentry_sdk.new_scope() as scope:
        scope.set_client(client)
        yield events


def error_with_a_stack(kind: type[BaseException]) -> BaseException:
    try:
        raise kind("secret")
    except kind as error:
        return error


def test_an_error_is_sent_once_however_often_it_is_logged(sent: list[Any]) -> None:
    first, second = error_with_a_stack(ValueError), error_with_a_stack(LookupError)
    for error in (first, second, first):
        sentry.report(None, "error", {"level": "error", "exc_info": error})

    assert [event["exception"]["values"][0]["type"] for event in sent] == [
        "ValueError",
        "LookupError",
    ]


@pytest.mark.parametrize("kind", [DomainError, NotFoundError, KeyboardInterrupt])
def test_a_refusal_and_an_interruption_are_no_errors(
    sent: list[Any], kind: type[BaseException]
) -> None:
    error = error_with_a_stack(kind)
    sentry.report(None, "error", {"level": "error", "exc_info": error})

    assert not sent


def test_warnings_and_lines_without_a_traceback_are_not_sent(sent: list[Any]) -> None:
    error = error_with_a_stack(ValueError)
    sentry.report(None, "warning", {"level": "warning", "exc_info": error})
    sentry.report(None, "error", {"level": "error", "event": "unavailable"})
    sentry.report(None, "error", {"level": "error", "exc_info": True})

    assert not sent


def test_an_error_leads_to_its_lines_in_the_log_and_to_its_trace(sent: list[Any]) -> None:
    ids = {"trace_id": "1" * 32, "span_id": "2" * 16}
    line = {"level": "error", "request_id": "abc", "secret": "secret", "event": "secret", **ids}
    sentry.report(None, "error", line | {"exc_info": error_with_a_stack(ValueError)})

    (event,) = sent
    assert event["tags"] == {"request_id": "abc"}
    assert event["contexts"]["trace"] == ids
    assert "value" not in event["exception"]["values"][0]
    del event["exception"]["values"][0]["stacktrace"]  # whose lines of this file say it
    assert "secret" not in str(event)


@pytest.mark.parametrize(
    ("error", "count"), [(OperationalError("database is locked"), 1), (ValueError("no"), 0)]
)
def test_what_is_answered_with_503_is_sent_too(
    sent: list[Any], error: Exception, count: int
) -> None:
    middleware = sentry.Sentry(lambda _: HttpResponse())
    middleware.process_exception(RequestFactory().get("/"), error)

    assert len(sent) == count


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
@pytest.mark.django_db(transaction=True)
def test_what_nobody_expected_is_sent_once_with_nothing_that_was_sent_to_us(
    tmp_path: Path,
) -> None:
    sent = Secrets()
    session = session_of(make_user("secretann"))
    with a_receiver() as receiver:
        dsn = receiver.url.replace("//", "//key@") + "/1"
        with (
            a_server(tmp_path / "web", sentry_dsn=dsn, trusted_proxy="true") as server,
            a_worker(tmp_path / "worker", sentry_dsn=dsn) as worker,
        ):
            assert sent.send_to(server, "/api/observed/hear", session) == 200
            assert sent.send_to(server, "/api/observed/fail", session) == 500
            assert server.ask("/observed/page")[0] == 500
            for path in ("/api/observed/refused", "/api/me", "/api/none", "/none"):
                assert 400 <= server.ask(path)[0] < 500
            for task in ("fail", "call", "refuse", "found"):
                path = f"/api/observed/ask/{task}?q={sent.markers['query']}"
                assert server.ask(path)[0] == 200
            until(lambda: Job.objects.finished().count() == 4, server, worker)
            worker.end()
            server.end()

    tasks = "tests.core.observed_urls"
    assert Job.objects.get(name=f"{tasks}.call").attempts == 3
    assert told_by(receiver) == [
        # What the view logged with its traceback, and what it raised then.
        ("/api/observed/fail/<name>", "IntegrityError"),
        ("/api/observed/fail/<name>", "RuntimeError"),
        ("/observed/page", "RuntimeError"),
        # The one after its retries; and not the one that was refused.
        (f"{tasks}.call", "ConnectionError"),
        (f"{tasks}.fail", "LookupError"),
    ]
    for event in events_of(receiver):
        assert event["environment"] == "development"
        assert set(event["tags"]) & {"request_id", "job"}
        frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
        assert frames[-1]["context_line"]
    # Whose folder this is, is nobody's business.
    assert str(ROOT).encode() not in receiver.bytes
    assert sent.in_text(receiver.bytes) == []
    assert b"secretann" not in receiver.bytes
    assert session.encode() not in receiver.bytes


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_sentry_that_is_away_slows_nothing_and_is_not_in_the_log(tmp_path: Path) -> None:
    started = time.monotonic()
    with a_process(tmp_path / "log", "-c", ERRORS, sentry_dsn="http://key@127.0.0.1:1/1") as one:
        assert one.process.wait(60) == 0

    assert time.monotonic() - started < 30
    assert one.log.read_text().count("RuntimeError: 299") == 1
    for word in ("127.0.0.1", "Retrying", "Sentry is attempting"):
        assert word not in one.log.read_text()


@pytest.mark.parametrize("dsn", ["nonsense", "https://sentry.example.com/1", "https://k@h/x"])
def test_nonsense_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("APP_SENTRY_DSN", dsn)

    with pytest.raises(SystemExit, match=r"^APP_SENTRY_DSN is not a DSN of Sentry: .*[^\n]$"):
        load_environment()


def test_doctor_says_that_production_sends_nothing() -> None:
    environment = Environment()
    assert not environment.sentry_dsn

    assert ("warning", "No errors are sent to Sentry: APP_SENTRY_DSN is not set.") in list(
        check_production(environment)
    )
