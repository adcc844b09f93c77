"""Replay, purge, and the commands."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import time
from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
from app.db import Database, now
from app.errors import UnprocessableError
from app.jobs import registry
from app.jobs.models import State
from app.jobs.registry import GiveUpError
from app.settings import Settings
from app.webhooks import commands, retention, service
from app.webhooks.handlers import Event, on
from app.webhooks.models import WebhookEvent
from app.webhooks.service import EventFilter
from app.webhooks.signatures.scheme import Delivery
from app.webhooks.sources import TYPES
from tests.jobs.working import effects, write_effect
from tests.webhooks.sending import SECRET, events, handled, send, states

LONG_AGO = timedelta(days=400)


async def set_all(database: Database, **values: Any) -> None:
    async with database.transactions.begin() as session:
        await session.execute(update(WebhookEvent).values(**values))


async def nothing(event: Event, session: AsyncSession) -> None: ...


async def test_what_is_dead_is_handled_once_more_when_its_handler_was_mended(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    good: list[bool] = []

    @on("shop")
    async def handler(event: Event, session: AsyncSession) -> None:
        await write_effect(session)
        if not good:
            raise GiveUpError("Not mended yet.")

    await send(sender, "1")
    await send(sender, "2")
    assert await handled(webhook_settings, database) == [State.DEAD, State.DEAD]
    good.append(True)
    said = await commands.replay_events(webhook_settings, [], EventFilter(state=State.DEAD))

    assert said == "2 events are handled once more."
    assert await handled(webhook_settings, database) == [State.DONE, State.DONE]
    assert await effects(database) == 2


async def test_what_waits_is_not_replayed_and_what_is_purged_cannot_be(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    await send(sender, "1")
    await send(sender, "2")
    [waiting, purged] = [event.id for event in await events(database)]
    with pytest.raises(SystemExit, match=f"Events {waiting}, 999999 are not finished, or purged"):
        await commands.replay_events(webhook_settings, [waiting, 999_999], EventFilter())
    assert await handled(webhook_settings, database) == [State.IGNORED, State.IGNORED]
    async with database.transactions.begin() as session:
        await session.execute(
            update(WebhookEvent).where(WebhookEvent.id == purged).values(body=None)
        )
    said = await commands.replay_events(webhook_settings, [waiting, purged], EventFilter())

    assert said.startswith(f"Events {waiting} are handled once more. Events {purged} are not")
    assert await states(database) == [State.WAITING, State.IGNORED]


async def test_payloads_go_and_the_event_stays_known(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    for number in range(3):
        await send(sender, str(number))
    await handled(webhook_settings, database)
    old, young, dead = [event.id for event in await events(database)]
    async with database.transactions.begin() as session:
        for one, values in ((old, {}), (dead, {"state": State.DEAD})):
            changes = values | {"finished_at": now() - LONG_AGO}
            await session.execute(
                update(WebhookEvent).where(WebhookEvent.id == one).values(**changes)
            )

    said = await commands.purge_payloads(webhook_settings, 30, dead=False)
    assert said.startswith("1 payloads are gone.")
    kept = {event.id: event.body is not None for event in await events(database)}
    assert kept == {old: False, young: True, dead: True}

    await send(sender, "0")
    assert len(await events(database)) == 3
    assert (await commands.purge_payloads(webhook_settings, 30, dead=True)).startswith("1 ")


async def test_payloads_are_purged_each_day(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    assert "webhooks.purge" in registry.CRONS
    await send(sender)
    await set_all(database, state=State.DONE, finished_at=now() - LONG_AGO)
    async with database.transactions.begin() as session:
        session.info["settings"] = webhook_settings
        await retention.purge(session)

    assert [event.body for event in await events(database)] == [None]


async def test_what_ends_again_meanwhile_is_not_replayed_for_ever(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    for number in range(3):
        await send(sender, str(number))
    await set_all(database, state=State.IGNORED, finished_at=now())
    first, second, third = [event.id for event in await events(database)]
    ignored = EventFilter(state=State.IGNORED)

    async with database.readers() as session:
        assert await service.replayable(session, matching=ignored) == [first, second, third]
        assert await service.replayable(session, matching=ignored, after=second) == [third]


def test_numbers_of_events_and_a_filter_are_not_given_together() -> None:
    with pytest.raises(SystemExit, match="Give either the numbers of events or their --state"):
        main(["webhook-replay", "17", "--source", "shop"])


async def test_a_bulk_replay_asks_for_a_state(database: Database) -> None:
    async with database.transactions() as session:
        for state in (None, State.WAITING):
            with pytest.raises(UnprocessableError, match="Say in which state they are"):
                await service.replayable(session, matching=EventFilter(state=state))


async def test_events_are_listed_and_shown_without_their_payload(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    await send(sender, "evt_1", "order.paid", secret="of nobody's business")
    await send(sender, "evt_2", "order.sent")
    every = await commands.list_events(webhook_settings, EventFilter(), 10)
    some = await commands.list_events(webhook_settings, EventFilter(event_type="order.paid"), 10)
    number = (await events(database))[0].id
    shown = await commands.show_event(webhook_settings, number, payload=False)
    payload = await commands.show_event(webhook_settings, number, payload=True)

    assert [line.split()[-1] for line in every] == ["error", "evt_2", "evt_1"]
    assert [line.split()[-1] for line in some] == ["error", "evt_1"]
    assert "evt_1" in shown
    assert "nobody" not in shown
    assert "nobody" in payload
    await set_all(database, body=None)
    assert "was purged" in await commands.show_event(webhook_settings, number, payload=True)
    with pytest.raises(SystemExit, match="no webhook event"):
        await commands.show_event(webhook_settings, 999_999, payload=False)


@pytest.fixture
def server() -> Iterator[Callable[[], tuple[int, list[tuple[str, dict[str, str], bytes]]]]]:
    """Takes what is sent, and answers as if it were verified."""
    taken: list[tuple[str, dict[str, str], bytes]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            taken.append((self.path, headers, body))
            self.send_response(200 if b"refuse" not in body else 401)
            self.end_headers()
            self.wfile.write(b"answered")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield lambda: (server.server_port, taken)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", TYPES)
def test_a_sample_is_sent_to_the_running_server(
    webhook_settings: Settings,
    server: Callable[[], tuple[int, list[tuple[str, dict[str, str], bytes]]]],
    kind: str,
) -> None:
    port, taken = server()
    settings = webhook_settings.model_copy(update={"port": port, "host": "0.0.0.0"})  # noqa: S104
    said = commands.send_sample(settings, kind, "", "evt_1")
    assert "200" in commands.send_sample(webhook_settings, kind, "", "", port=port)

    path, headers, body = taken[0]
    assert (path, headers["host"]) == (f"/webhooks/{kind}", "test")
    delivery = Delivery(body, headers, f"http://test/webhooks/{kind}")
    identity = settings.webhook_sources[kind].verify(delivery, at=time())
    assert said == f"Sent {identity.id}, and got 200 answered"
    assert "evt_1" in body.decode()


def test_why_a_sample_was_not_taken_is_said(
    webhook_settings: Settings,
    server: Callable[[], tuple[int, list[tuple[str, dict[str, str], bytes]]]],
) -> None:
    kind = next(iter(TYPES))
    with pytest.raises(SystemExit, match=f"has no source silent with a secret.*: {kind}"):
        commands.send_sample(webhook_settings, "silent", "", "")
    with pytest.raises(SystemExit, match="would not see this --type: there is no type_field"):
        commands.send_sample(webhook_settings, "typeless", "order.paid", "")
    with pytest.raises(SystemExit, match=r"would not see this --type: it is x{200}\."):
        commands.send_sample(webhook_settings, "shop", "x" * 300, "")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    settings = webhook_settings.model_copy(update={"port": port})
    with pytest.raises(SystemExit, match=r"Nothing answers on .*: start it .*, or say its --port"):
        commands.send_sample(settings, kind, "", "")
    settings = webhook_settings.model_copy(update={"port": server()[0]})
    with pytest.raises(SystemExit, match="401 answered"):
        commands.send_sample(settings, kind, "", "refuse")
    assert SECRET not in str(settings)


def test_the_commands_are_there(
    webhook_settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_DATABASE_URL", webhook_settings.database_url.get_secret_value())
    main(["webhook-list", "--source", "nobody"])
    main(["webhook-purge", "--days", "30"])
    main(["webhook-replay", "--state", "dead"])
    assert "0 events are handled once more." in capsys.readouterr().out
    for arguments, reason in (
        (["webhook-show", "999999"], "no webhook event"),
        (["webhook-replay"], "Give either the numbers"),
        (["webhook-replay", "1", "--state", "dead"], "Give either the numbers"),
        (["webhook-send", "nobody"], "no source nobody with a secret"),
        (["webhook-list", "--source", "x" * 300], "No event has such"),
    ):
        with pytest.raises(SystemExit, match=reason):
            main(arguments)
