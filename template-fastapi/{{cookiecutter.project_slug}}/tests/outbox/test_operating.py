"""The commands, and what is deleted by itself."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.commands import main
from app.db import Database, now
from app.jobs import registry
from app.jobs.models import State
from app.outbox import retention, service
from app.outbox.models import OutboxMessage
from app.settings import Settings
from tests.outbox.sending import SECRETS, ended, get, send, url_of
from tests.receiver import Receiver

Say = Callable[..., Awaitable[str]]


@pytest.fixture
def say(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    outbox_settings: Settings,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
) -> Say:
    """What a command says. It has a thread of its own, since it runs a loop of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_DATABASE_URL", outbox_settings.database_url.get_secret_value())
    targets = {"n8n": {"url": url_of(receiver), "secrets": SECRETS, "allow_private": True}}
    monkeypatch.setenv("APP_OUTBOX_TARGETS", json.dumps(targets))

    async def say(*arguments: object) -> str:
        await asyncio.to_thread(main, [str(one) for one in arguments])
        return capsys.readouterr().out

    return say


def gone(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(410)


async def set_all(database: Database, **values: Any) -> None:
    async with database.transactions.begin() as session:
        await session.execute(update(OutboxMessage).values(**values))


async def states(database: Database) -> list[State]:
    async with database.readers() as session:
        return list(await session.scalars(select(OutboxMessage.state).order_by(OutboxMessage.id)))


@pytest.mark.usefixtures("working")
async def test_a_dead_message_is_listed_shown_and_sent_once_more(
    database: Database, receiver: Receiver, say: Say
) -> None:
    receiver.answers = [gone]
    dead = (await ended(database, await send(database, name="Ann"))).id

    listed = await say("outbox-list", "--state", "dead", "--target", "n8n")
    assert re.search(rf"^{dead} +dead +1 +20.* n8n +lead.won +GiveUpError: The rec", listed, re.M)
    heading = "number  state  attempts  due  target  type  error\n"
    assert await say("outbox-list", "--state", "done") == heading
    shown = await say("outbox-show", dead)
    assert re.search(r"^attempts +1 of 60$", shown, re.M)
    assert "Ann" not in shown
    shown = await say("outbox-show", dead, "--payload")
    assert '"data":{"name":"Ann"}' in shown
    assert "whsec_" not in shown

    assert await say("outbox-retry", dead) == f"Messages {dead} are sent once more.\n"
    assert (await ended(database, dead)).state == State.DONE


async def test_all_of_a_target_are_sent_once_more(
    database: Database, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "AT_ONCE", 2)
    for target in ("n8n", "n8n", "outside", "n8n"):
        await send(database, target=target)
    await set_all(database, state=State.DEAD, finished_at=now())

    said = await say("outbox-retry", "--state", "dead", "--target", "n8n")
    assert said == "3 messages are sent once more.\n"
    waits = State.WAITING
    assert await states(database) == [waits, waits, State.DEAD, waits]


async def test_what_fails_again_meanwhile_is_not_sent_for_ever(database: Database) -> None:
    first, second = await send(database), await send(database)
    await set_all(database, state=State.DEAD, finished_at=now())
    async with database.readers() as session:
        assert await service.matching(session, state=State.DEAD) == [first, second]
        assert await service.matching(session, state=State.DEAD, after=first) == [second]


async def test_what_waits_can_be_cancelled(database: Database, say: Say) -> None:
    number = await send(database)

    assert await say("outbox-cancel", number, 999_999) == (
        f"Messages {number} are cancelled. Messages 999999 do not wait or run, or there are none.\n"
    )
    assert await states(database) == [State.CANCELLED]


async def test_old_messages_are_purged_dead_ones_only_when_asked(
    database: Database, say: Say
) -> None:
    await send(database)
    await set_all(database, state=State.DEAD, finished_at=now() - timedelta(days=8))

    assert (await say("outbox-purge", "--days", 7)).startswith("Deleted 0 messages")
    assert (await say("outbox-purge", "--days", 9, "--dead")).startswith("Deleted 0 messages")
    assert (await say("outbox-purge", "--days", 7, "--dead")).startswith("Deleted 1 messages")


@pytest.mark.parametrize("at_once", [1, 1000])
async def test_what_was_delivered_is_deleted_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    registry.load_handlers()
    assert "outbox.purge" in registry.CRONS
    monkeypatch.setattr("app.jobs.queue.PURGE_AT_ONCE", at_once)
    await send(database)
    await set_all(database, state=State.DONE, finished_at=now() - timedelta(days=31))
    young = await send(database)
    async with database.transactions() as session:
        await retention.purge(session)
        left = list(await session.scalars(select(OutboxMessage.id)))
        # What it enqueued to go on with goes, too.
        await session.rollback()

    assert left == [young]


@pytest.mark.usefixtures("working")
async def test_a_sample_is_sent_to_a_target(
    database: Database, receiver: Receiver, say: Say
) -> None:
    said = await say("outbox-send", "n8n", "--type", "lead.tried")
    number = int(re.findall(r"\d+", said)[0])

    assert (await ended(database, number)).state == State.DONE
    [body] = receiver.bodies
    assert json.loads(body)["type"] == "lead.tried"
    assert json.loads(body)["data"] == {"sample": True}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["outbox-show", "999999"], "There is no message 999999"),
        (["outbox-retry", "999999"], "Messages 999999 are not finished, or there are none"),
        (["outbox-retry"], "Give either the numbers of messages or their --state"),
        (["outbox-retry", "1", "--state", "dead"], "Give either the numbers of messages or"),
        (["outbox-retry", "1", "--target", "shop"], "Give either the numbers of messages or"),
        (["outbox-retry", "--target", "shop"], "Say also in which --state they are"),
        (["outbox-send", "n9n"], "There is no target n9n in APP_OUTBOX_TARGETS"),
        (["outbox-send", "n8n", "--type", ""], "The type of a message has 1 to 200 characters"),
    ],
)
async def test_what_cannot_be_done_is_said(
    database: Database, say: Say, arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit, match=reason):
        await say(*arguments)


async def test_messages_with_a_key_leave_one_after_the_other(database: Database) -> None:
    async with database.transactions.begin() as session:
        number = await service.send(
            session, "n8n", "lead.won", {}, order_key="17", delay=timedelta(days=3)
        )
    message = await get(database, number)

    assert message.order_key == "17"
    assert message.due_at > now() + timedelta(days=2)
