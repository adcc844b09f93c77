import asyncio
import json
import logging
from collections.abc import Sequence
from time import time
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from app.db import Database
from app.jobs.models import State
from app.jobs.waking import UNKNOWN, Bell, Work
from app.main import create_app
from app.settings import Settings
from app.webhooks.handlers import Event, on
from app.webhooks.intake import MOST_AT_ONCE, MOST_BYTES, Intake
from app.webhooks.sources import TYPES
from tests.conftest import client_of, unreachable
from tests.jobs.working import effects, write_effect
from tests.webhooks.sending import SECRET, events, handled, send, states


async def test_an_event_is_kept_as_it_came_before_it_is_answered(
    sender: AsyncClient, database: Database
) -> None:
    response = await send(sender, "evt_1", amount=17)

    assert (response.status_code, response.json()) == (200, {"received": True})
    [event] = await events(database)
    assert (event.source, event.event_id, event.event_type) == ("shop", "evt_1", "order.paid")
    assert event.body == b'{"id": "evt_1", "type": "order.paid", "amount": 17}'
    assert event.state is State.WAITING
    assert event.headers["content-type"] == "application/json"
    assert SECRET not in json.dumps(event.headers)


async def test_a_repetition_is_answered_like_the_first_and_changes_nothing(
    sender: AsyncClient, database: Database
) -> None:
    first = await send(sender, "evt_1", amount=17)
    second = await send(sender, "evt_1", amount=18)

    assert (first.status_code, first.text) == (second.status_code, second.text)
    [event] = await events(database)
    assert b"17" in (event.body or b"")


async def test_two_hundred_repetitions_at_once_have_one_effect(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    @on("shop", "order.paid")
    async def paid(event: Event, session: AsyncSession) -> None:
        await write_effect(session, of=event.id)

    answers = await asyncio.gather(*(send(sender, "evt_1") for _ in range(200)))

    assert {answer.status_code for answer in answers} == {200}
    assert await handled(webhook_settings, database) == [State.DONE]
    assert await effects(database) == 1


def inserts_of(intake: Intake) -> list[str]:
    """The statements with which it inserts from now on."""
    written: list[str] = []

    def note(*arguments: Any) -> None:
        if arguments[2].startswith("INSERT"):
            written.append(arguments[2])

    sqlalchemy_event.listen(intake.engine.sync_engine, "before_cursor_execute", note)
    return written


async def test_what_comes_at_once_is_written_together(
    app: FastAPI, sender: AsyncClient, database: Database
) -> None:
    written = inserts_of(app.state.webhooks)
    await asyncio.gather(*(send(sender, f"evt_{number}") for number in range(60)))

    assert len(await events(database)) == 60
    assert len(written) < 30


async def test_while_it_is_busy_it_waits_a_moment_for_more(
    app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.webhooks.intake.PAUSE", 0.5)
    intake: Intake = app.state.webhooks
    written = inserts_of(intake)
    both = [asyncio.create_task(intake.keep(Event("shop", one, "", b""))) for one in "ab"]
    await asyncio.gather(*both)
    more = []
    for one in "cde":
        more.append(asyncio.create_task(intake.keep(Event("shop", one, "", b""))))
        await asyncio.sleep(0.01)
    await asyncio.gather(*more)

    assert len(written) == 2
    assert len(await events(database)) == 5


async def test_what_is_committed_is_on_the_disk(app: FastAPI) -> None:
    intake: Intake = app.state.webhooks
    postgres = intake.engine.dialect.name == "postgresql"
    async with intake.engine.connect() as connection:
        question = "SHOW synchronous_commit" if postgres else "PRAGMA synchronous"
        answer = (await connection.exec_driver_sql(question)).scalar()

    assert answer == ("on" if postgres else 2)


async def test_a_broker_is_told_what_is_new(app: FastAPI, database: Database) -> None:
    rung: list[Work] = []
    bell = Bell(app.state.settings, Database(app.state.settings))
    bell.listeners.add(rung.extend)
    intake = Intake(database, bell, tells_ids=True)
    both = [Event("shop", one, "", b"") for one in ("1", "2", "1")]
    await asyncio.gather(*(intake.keep(event) for event in both))
    await intake.close()
    await bell.close()
    await bell.database.close()

    ids = {("webhook_events", event.id) for event in await events(database)}
    assert {one for one in rung if one != UNKNOWN} == ids
    assert len(ids) == 2


async def test_events_with_large_bodies_are_not_written_together(app: FastAPI) -> None:
    intake = Intake(app.state.database, app.state.workforce.bell)
    loop = asyncio.get_running_loop()
    large = {"body": b"x" * (MOST_BYTES // 2)}
    intake.waiting = [(large, loop.create_future()) for _ in range(5)]
    assert [len(intake._take()) for _ in range(3)] == [2, 2, 1]

    small = {"body": b"x"}
    intake.waiting = [(small, loop.create_future()) for _ in range(MOST_AT_ONCE + 1)]
    assert [len(intake._take()) for _ in range(3)] == [MOST_AT_ONCE, 1, 0]
    await intake.close()


async def test_one_that_cannot_be_kept_does_not_keep_the_others_out(
    app: FastAPI, database: Database
) -> None:
    intake: Intake = app.state.webhooks
    bad = Event("shop", "2", None, b"")  # type: ignore[arg-type]  # wrong on purpose
    outcomes = await asyncio.gather(
        *(intake.keep(event) for event in (Event("shop", "0", "", b""), bad)),
        *(intake.keep(Event("shop", str(number), "", b"")) for number in range(3, 6)),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes].count(IntegrityError) == 1
    assert {event.event_id for event in await events(database)} == {"0", "3", "4", "5"}


class FullError(Exception):
    """As PostgreSQL's driver raises it."""

    sqlstate = "53100"


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("INSERT", {}, Exception("database is locked")),
        DBAPIError("INSERT", {}, FullError("could not extend file")),
    ],
)
async def test_a_database_that_is_locked_or_full_is_asked_once_for_all(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, error: DBAPIError
) -> None:
    asked: list[int] = []

    async def refuse(self: Intake, rows: Sequence[object]) -> None:
        asked.append(len(rows))
        raise error

    monkeypatch.setattr(Intake, "_insert", refuse)
    intake = Intake(app.state.database, app.state.workforce.bell)
    kept = [intake.keep(Event("shop", str(number), "", b"")) for number in range(50)]
    outcomes = await asyncio.gather(*kept, return_exceptions=True)
    await intake.close()

    assert asked == [50]
    assert outcomes == [error] * 50


async def test_a_source_that_is_unknown_or_has_no_secret_is_not_found(sender: AsyncClient) -> None:
    for name in ("nobody", "silent", "Shop", "%00", "shop%2F.."):
        response = await sender.post(f"/webhooks/{name}", headers={"X-Token": ""})
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_wrong_or_missing_signature_is_refused_and_nothing_is_kept(
    sender: AsyncClient, database: Database
) -> None:
    wrong = await sender.post("/webhooks/shop", content="{}", headers={"X-Token": "guessed"})
    missing = await sender.post("/webhooks/shop", content="{}")

    assert wrong.status_code == missing.status_code == 401
    assert wrong.json()["detail"] == "The signature does not match."
    assert missing.json()["detail"] == "The header X-Token is missing."
    assert wrong.headers["www-authenticate"] == "Webhook"
    assert await events(database) == []


async def test_a_body_that_is_too_large_is_refused(sender: AsyncClient, database: Database) -> None:
    response = await send(sender, "evt_1", text="x" * 30_000)

    assert response.status_code == 413
    assert await events(database) == []


async def test_any_body_is_kept(sender: AsyncClient, database: Database) -> None:
    bodies = [
        b"",
        b"\x00\xff",
        b"[" * 10_000,
        b'{"id": "a\\u0000b"}',
        b'{"id": {"a": 1}, "type": 7}',
    ]
    for body in bodies:
        headers = {"X-Token": SECRET}
        response = await sender.post("/webhooks/shop", content=body, headers=headers)
        assert response.status_code == 200

    assert [event.body for event in await events(database)] == bodies
    assert all(event.event_id.startswith("sha256:") for event in await events(database))


async def test_without_its_database_nothing_is_acknowledged(webhook_settings: Settings) -> None:
    postgres = webhook_settings.database.get_backend_name() == "postgresql"
    url = SecretStr(unreachable(webhook_settings) if postgres else "sqlite:////not/there/app.db")
    app = create_app(webhook_settings.model_copy(update={"database_url": url}))
    async with app.router.lifespan_context(app), client_of(app) as client:
        answers = await asyncio.gather(*(send(client, str(number)) for number in range(3)))

    for answer in answers:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_neither_secrets_nor_payloads_are_logged(
    sender: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> object:
        raise ValueError(event.body)

    on("shop", order_by=fail)(nothing)
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        await send(sender, "evt_1", text="of nobody's business")
        await sender.post("/webhooks/shop", content="of nobody's business")

    logged = json.dumps(lines) + caplog.text
    assert "webhook_without_order" in logged
    assert SECRET not in logged
    assert "nobody" not in logged


async def nothing(event: Event, session: AsyncSession) -> None: ...


@pytest.mark.parametrize("kind", TYPES)
async def test_a_sample_of_each_type_is_taken_once_and_a_forged_one_never(
    app: FastAPI, sender: AsyncClient, database: Database, kind: str
) -> None:
    source = app.state.settings.webhook_sources[kind]
    url = f"http://test/webhooks/{kind}"
    sample = source.sample("", "evt_1", url=url, at=time())
    for _ in range(2):
        response = await sender.post(url, content=sample.body, headers=dict(sample.headers))
        assert (response.status_code, response.text) == (200, source.answer.body)
        assert response.headers["content-type"].startswith(source.answer.media_type)
    forger = source.model_copy(update={"secrets": (SecretStr(SECRET.replace("5", "6")),)})
    forged = forger.sample("", "evt_2", url=url, at=time())
    response = await sender.post(url, content=forged.body, headers=dict(forged.headers))

    assert response.status_code == 401
    assert await states(database) == [State.WAITING]
