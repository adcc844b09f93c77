import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from sqlalchemy import func, select

from app.db import Database, now
from app.jobs.models import State
from app.outbox import delivery, service
from app.outbox.models import Delivery
from tests.outbox.receiving import SECRETS, Received, Receiver, ended, get, send, tried

pytestmark = pytest.mark.usefixtures("working")


def expected_signatures(received: Received) -> set[str]:
    """By the text of Standard Webhooks, with each of the secrets."""
    message_id, timestamp = (received.headers[f"webhook-{name}"] for name in ("id", "timestamp"))
    signed = b".".join([message_id.encode(), timestamp.encode(), received.body])
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in SECRETS]
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    return {f"v1,{base64.b64encode(digest).decode()}" for digest in digests}


async def test_a_message_leaves_signed_after_the_commit(
    database: Database, receiver: Receiver
) -> None:
    number = await send(database, "lead.won", name="Zoë", euros=12)

    done = await ended(database, number)
    [received] = receiver.received
    assert (done.state, done.attempts) == (State.DONE, 1)
    assert received.path == "/hook?token=mine"
    assert received.headers["host"] == f"localhost:{receiver.port}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == done.message_id
    assert abs(int(received.headers["webhook-timestamp"]) - now().timestamp()) < 30
    assert set(received.headers["webhook-signature"].split()) == expected_signatures(received)
    content = json.loads(received.body)
    assert content["type"] == "lead.won"
    assert content["data"] == {"name": "Zoë", "euros": 12}
    assert datetime.fromisoformat(content["timestamp"]).tzinfo is not None


async def test_what_is_rolled_back_never_leaves(database: Database, receiver: Receiver) -> None:
    async with database.transactions() as session:
        await service.send(session, "n8n", "lead.lost", {})
        await session.rollback()
    await ended(database, await send(database))

    assert [json.loads(one.body)["type"] for one in receiver.received] == ["lead.won"]


async def test_a_receiver_in_trouble_gets_the_same_message_again(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.queue.FIRST_PAUSE", timedelta(milliseconds=1))
    receiver.answers = ["500 Internal Server Error", "", "302 Found\r\nLocation: http://localhost/"]
    done = await ended(database, await send(database))

    assert (done.state, done.attempts) == (State.DONE, 4)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert len({one.body for one in receiver.received}) == 1
    assert {one.path for one in receiver.received} == {"/hook?token=mine"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("503 Service Unavailable", "DeliveryError: The receiver answered 503."),
        ("301 Moved\r\nLocation: http://localhost/", "DeliveryError: The receiver answered 301."),
        ("", "DeliveryError: No answer within 0.5 s."),
    ],
)
async def test_why_it_was_not_taken_is_kept(
    database: Database, receiver: Receiver, answer: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.queue.uniform", lambda *_: 1)
    monkeypatch.setattr("app.jobs.queue.FIRST_PAUSE", timedelta(hours=1))
    receiver.answers = [answer]
    waiting = await tried(database, await send(database))

    assert (waiting.state, waiting.last_error) == (State.WAITING, error)


async def test_a_receiver_that_is_away_is_named_without_its_url(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> str:
        raise ConnectionRefusedError("http://localhost/hook?token=mine")

    monkeypatch.setattr(delivery, "address_of", refused)
    waiting = await tried(database, await send(database))

    assert waiting.last_error == "DeliveryError: Not reached: ConnectionRefusedError."


async def test_a_receiver_that_is_gone_is_asked_once(
    database: Database, receiver: Receiver
) -> None:
    receiver.answers = ["410 Gone"]
    dead = await ended(database, await send(database))

    assert (dead.state, dead.attempts) == (State.DEAD, 1)
    assert dead.last_error == "GiveUpError: The receiver answered 410."

    async with database.transactions.begin() as session:
        assert await service.retry(session, ids=[dead.id]) == [dead.id]
    again = await ended(database, dead.id)
    assert (again.state, again.message_id) == (State.DONE, dead.message_id)


async def test_a_receiver_says_when_to_come_back(database: Database, receiver: Receiver) -> None:
    receiver.answers = ["429 Too Many Requests\r\nRetry-After: 3600"]
    waiting = await tried(database, await send(database))

    assert waiting.state == State.WAITING
    assert timedelta(minutes=59) < waiting.due_at - now() <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("999999999999", timedelta(hours=24)),
        (format_datetime(datetime(2000, 1, 1, tzinfo=UTC)), timedelta()),
        ("soon", None),
        ("", None),
    ],
)
async def test_retry_after_is_seconds_or_a_date(header: str, wait: timedelta | None) -> None:
    assert delivery.wait_of(header) == wait


async def test_what_is_inside_is_not_reached_unless_that_is_meant(
    database: Database, receiver: Receiver
) -> None:
    dead = await ended(database, await send(database, target="outside"))

    assert (dead.state, receiver.received) == (State.DEAD, [])
    assert "not public" in (dead.last_error or "")


async def test_a_target_that_there_is_not_is_refused_where_it_is_named(database: Database) -> None:
    async with database.transactions() as session:
        with pytest.raises(LookupError, match=r"no target n9n in .* \(n8n, outside\)"):
            await service.send(session, "n9n", "lead.won", {})
        assert await session.scalar(select(func.count()).select_from(Delivery)) == 0


async def test_a_target_that_was_taken_out_is_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.queue.FIRST_PAUSE", timedelta(hours=1))
    async with database.transactions() as session:
        session.info.pop("settings")
        number = await service.send(session, "old", "lead.won", {})
        await session.commit()
    waiting = await tried(database, number)

    assert waiting.last_error == "DeliveryError: There is no target old in APP_OUTBOX_TARGETS."
    assert (await get(database, number)).state == State.WAITING
