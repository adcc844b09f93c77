import base64
import hashlib
import hmac
import json
import logging
import socket
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest
from sqlalchemy import func, select

from app import logs
from app.db import Database, now
from app.jobs.models import State
from app.jobs.waking import Bell, Work
from app.outbox import delivery, service
from app.outbox.models import OutboxMessage
from app.outbox.targets import targets_of
from app.settings import Settings
from tests.jobs.working import running
from tests.outbox.sending import SECRETS, ended, get, resolve, send, tried
from tests.receiver import Answer, Receiver, taken


@pytest.fixture
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.queue.uniform", lambda *_: 1)
    monkeypatch.setattr("app.jobs.queue.FIRST_PAUSE", timedelta(minutes=30))


def says(status: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    """Without a word."""


def expected_signatures(receiver: Receiver) -> set[str]:
    """By the text of Standard Webhooks, with each of the secrets, of the only message."""
    [headers], [body] = receiver.headers, receiver.bodies
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in SECRETS]
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    return {f"v1,{base64.b64encode(digest).decode()}" for digest in digests}


@pytest.mark.usefixtures("working")
async def test_a_message_leaves_signed_after_the_commit(
    database: Database, receiver: Receiver
) -> None:
    done = await ended(database, await send(database, name="Zoë", euros=12))

    [headers], [body] = receiver.headers, receiver.bodies
    assert (done.state, done.attempts) == (State.DONE, 1)
    assert receiver.paths == ["/hook?token=mine"]
    assert headers["host"] == f"localhost:{receiver.port}"
    assert headers["content-type"] == "application/json"
    assert headers["x-key"] == "swordfish"
    assert headers["webhook-id"] == done.message_id
    assert abs(int(headers["webhook-timestamp"]) - now().timestamp()) < 30
    assert set(headers["webhook-signature"].split()) == expected_signatures(receiver)
    content = json.loads(body)
    assert content["type"] == "lead.won"
    assert content["data"] == {"name": "Zoë", "euros": 12}
    assert datetime.fromisoformat(content["timestamp"]).tzinfo is not None


@pytest.mark.usefixtures("working")
async def test_what_is_rolled_back_never_leaves(database: Database, receiver: Receiver) -> None:
    async with database.transactions() as session:
        await service.send(session, "n8n", "lead.lost", {})
        await session.rollback()
    await ended(database, await send(database))

    assert [json.loads(body)["type"] for body in receiver.bodies] == ["lead.won"]


async def test_a_commit_says_which_message_is_to_leave(database: Database, bell: Bell) -> None:
    rung: list[Work] = []

    def listen(work: Collection[Work]) -> None:
        rung.extend(work)

    bell.listeners.add(listen)
    number = await send(database)

    assert rung == [("outbox_messages", number)]


@pytest.mark.usefixtures("working")
async def test_a_receiver_in_trouble_gets_the_same_message_again(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.queue.FIRST_PAUSE", timedelta(milliseconds=1))
    receiver.answers = [says(500), hangs_up, says(302, Location="http://localhost/")]
    done = await ended(database, await send(database))

    assert (done.state, done.attempts) == (State.DONE, 4)
    assert {headers["webhook-id"] for headers in receiver.headers} == {done.message_id}
    assert len(set(receiver.bodies)) == 1
    assert receiver.paths == ["/hook?token=mine"] * 4


@pytest.mark.usefixtures("working", "long_pauses")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(503), "The receiver answered 503."),
        (
            says(301, Location="http://localhost/"),
            "The receiver answered 301. Redirects are not followed: give the target its new url.",
        ),
        (hangs_up, "Not delivered: RemoteProtocolError."),
    ],
)
async def test_why_it_was_not_taken_is_kept(
    database: Database, receiver: Receiver, answer: Answer, error: str
) -> None:
    receiver.answers = [answer]
    waiting = await tried(database, await send(database))

    assert waiting.state == State.WAITING
    assert waiting.last_error == f"DeliveryError: {error}"


async def test_a_receiver_that_is_silent_is_not_waited_for(
    outbox_settings: Settings,
    database: Database,
    bell: Bell,
    receiver: Receiver,
    long_pauses: None,
) -> None:
    def waits(_: BaseHTTPRequestHandler) -> None:
        receiver.ended.wait(30)

    receiver.answers = [waits]
    impatient = outbox_settings.outbox_targets["n8n"].model_copy(update={"timeout": 0.2})
    bell.settings = outbox_settings.model_copy(update={"outbox_targets": {"n8n": impatient}})
    async with running(bell.settings, bell):
        waiting = await tried(database, await send(database))

    assert waiting.last_error == "DeliveryError: No answer within 0.2 s."


@pytest.mark.usefixtures("working")
async def test_what_a_receiver_says_is_not_read(database: Database, receiver: Receiver) -> None:
    left = Event()

    def talks_without_end(handler: BaseHTTPRequestHandler) -> None:
        says(200)(handler)
        with suppress(OSError):
            while True:
                handler.wfile.write(b"x" * 65_536)
        left.set()

    receiver.answers = [talks_without_end]
    done = await ended(database, await send(database))

    assert (done.state, done.attempts) == (State.DONE, 1)
    assert left.wait(5)


@pytest.mark.usefixtures("working", "long_pauses")
async def test_headers_without_end_are_no_answer(database: Database, receiver: Receiver) -> None:
    def talks_without_end(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        with suppress(OSError):
            while True:
                handler.wfile.write(b"x" * 65_536)

    receiver.answers = [talks_without_end]
    waiting = await tried(database, await send(database))

    assert waiting.last_error == "DeliveryError: Not delivered: RemoteProtocolError."


async def test_a_receiver_that_is_away_is_named_without_its_url(
    outbox_settings: Settings, database: Database, bell: Bell, long_pauses: None
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/hook?token=mine"
        away = targets_of({"n8n": {"url": url, "secrets": SECRETS, "allow_private": True}})
        bell.settings = outbox_settings.model_copy(update={"outbox_targets": away})
        async with running(bell.settings, bell):
            waiting = await tried(database, await send(database))

    assert waiting.last_error == "DeliveryError: Not delivered: ConnectError."


@pytest.mark.usefixtures("working")
async def test_a_receiver_that_is_gone_is_asked_once(
    database: Database, receiver: Receiver
) -> None:
    receiver.answers = [says(410)]
    dead = await ended(database, await send(database))

    assert (dead.state, dead.attempts) == (State.DEAD, 1)
    assert dead.last_error == "GiveUpError: The receiver answered 410."

    async with database.transactions.begin() as session:
        assert await service.retry(session, ids=[dead.id]) == [dead.id]
    again = await ended(database, dead.id)
    assert (again.state, again.message_id) == (State.DONE, dead.message_id)


@pytest.mark.usefixtures("working")
async def test_a_receiver_says_when_to_come_back(database: Database, receiver: Receiver) -> None:
    receiver.answers = [says(429, Retry_After="3600")]
    waiting = await tried(database, await send(database))

    assert waiting.state == State.WAITING
    assert timedelta(minutes=59) < waiting.due_at - now() <= timedelta(hours=1)


@pytest.mark.usefixtures("working", "long_pauses")
async def test_who_says_at_once_waits_like_others(database: Database, receiver: Receiver) -> None:
    receiver.answers = [says(503, Retry_After="0")]
    waiting = await tried(database, await send(database))

    assert waiting.due_at - now() > timedelta(minutes=29)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (" 120", timedelta(minutes=2)),
        ("999999999999", timedelta(hours=24)),
        (format_datetime(datetime(2000, 1, 1, tzinfo=UTC)), timedelta()),
        (format_datetime(datetime(2000, 1, 1)), None),  # noqa: DTZ001 - has no zone
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, wait: timedelta | None) -> None:
    assert delivery.wait_of(header) == wait


@pytest.mark.usefixtures("working")
async def test_what_is_inside_is_not_reached_unless_that_is_meant(
    database: Database, receiver: Receiver
) -> None:
    dead = await ended(database, await send(database, target="outside"))

    assert (dead.state, receiver.paths) == (State.DEAD, [])
    assert "not public" in (dead.last_error or "")


@pytest.mark.usefixtures("working")
async def test_a_name_that_leads_elsewhere_a_moment_later_is_asked_once(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve(monkeypatch, ["127.0.0.1"], ["127.9.9.9"])
    await ended(database, await send(database))

    assert asked == ["localhost"]
    assert receiver.headers[0]["host"] == f"localhost:{receiver.port}"


async def test_an_address_of_ipv6_and_headers_of_ours_go_over_the_line_as_they_should(
    outbox_settings: Settings,
    database: Database,
    bell: Bell,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agents: list[str] = []

    def keeps_agents(handler: BaseHTTPRequestHandler) -> None:
        agents.extend(handler.headers.get_all("User-Agent", []))
        taken(handler)

    receiver.answers = [keeps_agents]
    resolve(monkeypatch, ["127.0.0.1"])
    url, headers = f"http://[::1]:{receiver.port}/hook", {"User-Agent": "shop"}
    target = {"url": url, "secrets": SECRETS, "allow_private": True, "headers": headers}
    bell.settings = outbox_settings.model_copy(
        update={"outbox_targets": targets_of({"n8n": target})}
    )
    async with running(bell.settings, bell):
        await ended(database, await send(database))

    assert receiver.headers[0]["host"] == f"[::1]:{receiver.port}"
    assert agents == ["shop"]


@pytest.mark.usefixtures("working")
async def test_of_several_addresses_one_has_to_answer(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, ["::1", "127.0.0.1"])
    done = await ended(database, await send(database))

    assert (done.attempts, len(receiver.paths)) == (1, 1)


@pytest.mark.usefixtures("working", "long_pauses")
async def test_a_host_without_an_address_is_waited_for(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch)
    waiting = await tried(database, await send(database))

    assert waiting.state == State.WAITING
    assert waiting.last_error == "DeliveryError: Its host has no address."


@pytest.mark.usefixtures("working")
async def test_a_proxy_of_the_environment_is_not_asked(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert (await ended(database, await send(database))).attempts == 1


async def test_not_even_a_debugging_log_has_urls_or_signatures(
    outbox_settings: Settings,
    database: Database,
    bell: Bell,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(outbox_settings.model_copy(update={"log_level": "debug"}))
    logging.getLogger("of.this.test").debug("noticed")
    receiver.answers = [says(410)]
    async with running(outbox_settings, bell):
        await ended(database, await send(database))
        await ended(database, await send(database))
    said = capsys.readouterr().out

    assert "noticed" in said
    assert "n8n lead.won" in said
    [signature, *_] = receiver.headers[0]["webhook-signature"].removeprefix("v1,").split()
    for secret in ("token=mine", "swordfish", signature):
        assert secret not in said


async def test_a_target_that_there_is_not_is_refused_where_it_is_named(database: Database) -> None:
    async with database.transactions() as session:
        with pytest.raises(LookupError, match=r"no target n9n in .* \(n8n, outside\)"):
            await service.send(session, "n9n", "lead.won", {})
        assert await session.scalar(select(func.count()).select_from(OutboxMessage)) == 0


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("", {}),
        ("x" * 201, {}),
        ("lead\x00", {}),
        ("lead.won", {"at": now()}),
        ("lead.won", {"is": float("nan")}),
    ],
)
async def test_what_cannot_be_sent_is_refused_where_it_is_said(
    database: Database, event_type: str, data: dict[str, object]
) -> None:
    async with database.transactions() as session:
        with pytest.raises((TypeError, ValueError), match=r"characters|JSON"):
            await service.send(session, "n8n", event_type, data)


@pytest.mark.usefixtures("long_pauses")
async def test_a_target_that_was_taken_out_is_waited_for(
    outbox_settings: Settings, database: Database, bell: Bell
) -> None:
    number = await send(database)
    bell.settings = outbox_settings.model_copy(update={"outbox_targets": {}})
    async with running(bell.settings, bell):
        waiting = await tried(database, number)

    assert waiting.last_error == "DeliveryError: There is no target n8n in APP_OUTBOX_TARGETS."
    assert (await get(database, number)).state == State.WAITING
