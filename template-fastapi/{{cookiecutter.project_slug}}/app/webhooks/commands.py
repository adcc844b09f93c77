"""The commands of webhooks, for app.commands."""

import argparse
import asyncio
import http.client
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import time
from typing import Any

from cryptography.fernet import Fernet
from pydantic import ValidationError

from app.db import now
from app.jobs.commands import MOST, report
from app.jobs.models import State
from app.settings import Settings
from app.terminal import moment, row_number, table, transaction, whole_number
from app.webhooks import service
from app.webhooks.encryption import payload_of
from app.webhooks.service import EVENTS, EventFilter
from app.webhooks.signatures.scheme import Delivery, Identity, Source
from app.webhooks.sources import TYPES

PATIENCE = 10  # seconds


def add_commands(commands: Any, load_settings: Callable[[], Settings]) -> None:
    def list_all(options: argparse.Namespace) -> None:
        lines = list_events(load_settings(), matching_of(options), options.limit)
        print("\n".join(asyncio.run(lines)))

    def show(options: argparse.Namespace) -> None:
        print(asyncio.run(show_event(load_settings(), options.number, payload=options.payload)))

    def replay(options: argparse.Namespace) -> None:
        matching = matching_of(options)
        if bool(options.numbers) == bool(matching.model_dump(exclude_none=True)):
            raise SystemExit("Give either the numbers of events or their --state.")
        print(asyncio.run(replay_events(load_settings(), options.numbers, matching)))

    def purge(options: argparse.Namespace) -> None:
        print(asyncio.run(purge_payloads(load_settings(), options.days, dead=options.dead)))

    def key(_: argparse.Namespace) -> None:
        print(Fernet.generate_key().decode())

    def send(options: argparse.Namespace) -> None:
        sample = (options.source, options.type, options.id)
        print(send_sample(load_settings(), *sample, port=options.port))

    add = commands.add_parser("webhook-list", help="list webhook events, the newest first")
    add_filter(add)
    add.add_argument("--limit", type=whole_number(1, MOST), default=50)
    add.set_defaults(run=list_all)

    add = commands.add_parser("webhook-show", help="show a webhook event")
    add.add_argument("number", type=row_number)
    add.add_argument("--payload", action="store_true", help="with what the sender sent")
    add.set_defaults(run=show)

    add = commands.add_parser("webhook-replay", help="handle webhook events once more")
    add.add_argument("numbers", type=row_number, nargs="*", metavar="number")
    add_filter(add)
    add.set_defaults(run=replay)

    add = commands.add_parser("webhook-purge", help="take the payloads of old events away")
    add.add_argument(
        "--days", type=whole_number(1, MOST), required=True, help="since they were finished"
    )
    add.add_argument("--dead", action="store_true", help="also of those that failed for good")
    add.set_defaults(run=purge)

    add = commands.add_parser("webhook-key", help="make a key that encrypts payloads at rest")
    add.set_defaults(run=key)

    add = commands.add_parser("webhook-send", help="send a signed sample to the running server")
    add.add_argument("source", help="as APP_WEBHOOK_SOURCES names it")
    add.add_argument("--type", default="", help="such as invoice.paid")
    add.add_argument("--id", default="", help="the same twice is a repetition")
    add.add_argument("--port", type=whole_number(1, 65535), help="of the server; default: APP_PORT")
    add.set_defaults(run=send)


def add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source")
    parser.add_argument("--type", dest="event_type", help="such as invoice.paid")
    parser.add_argument("--event-id", help="the sender's")
    parser.add_argument("--state", choices=[state.value for state in State])


def matching_of(options: argparse.Namespace) -> EventFilter:
    names = EventFilter.model_fields
    try:
        return EventFilter(**{name: getattr(options, name) for name in names})
    except ValidationError:
        raise SystemExit("No event has such a source, type or id.") from None


async def list_events(settings: Settings, matching: EventFilter, limit: int) -> list[str]:
    """A line for each event, below a heading."""
    newest = service.events(matching).order_by(EVENTS.c.id.desc()).limit(limit)
    async with transaction(settings) as session:
        rows = (await session.execute(newest)).all()
    heading = ("number", "received", "source", "type", "state", "attempts", "event id", "error")
    lines = [
        (
            str(row.id),
            moment(row.created_at),
            row.source,
            row.event_type,
            row.state,
            str(row.attempts),
            row.event_id,
            row.last_error or "",
        )
        for row in rows
    ]
    return table([heading, *lines])


async def show_event(settings: Settings, number: int, *, payload: bool) -> str:
    async with transaction(settings) as session:
        event = await service.get_event(session, event_id=number)
        shown = shown_payload(payload_of(settings, event)) if payload else []
    values = {
        "number": str(event.id),
        "source": event.source,
        "event id": event.event_id,
        "type": event.event_type,
        "state": event.state,
        "attempts": f"{event.attempts} of {event.max_attempts}",
        "received": moment(event.created_at),
        "due": moment(event.due_at),
        "finished": moment(event.finished_at),
        "order key": event.order_key,
        "error": event.last_error,
        "headers": json.dumps(event.headers),
    }
    lines = [f"{name:<12}{value}" for name, value in values.items() if value]
    return "\n".join([*lines, *shown])


def shown_payload(body: bytes | None) -> list[str]:
    return ["", "Its payload was purged." if body is None else body.decode(errors="replace")]


async def replay_events(settings: Settings, numbers: Sequence[int], matching: EventFilter) -> str:
    if not numbers:
        count = after = 0
        while True:
            async with transaction(settings) as session:
                ids = await service.replayable(session, matching=matching, after=after)
                count += len(await service.replay(session, ids=ids))
            if len(ids) < service.AT_ONCE:
                return f"{count} events are handled once more."
            after = ids[-1]
    async with transaction(settings) as session:
        replayed = await service.replay(session, ids=numbers)
    return report(
        numbers, replayed, "are handled once more", "are not finished, or purged", rows="Events"
    )


async def purge_payloads(settings: Settings, days: int, *, dead: bool) -> str:
    before = now() - timedelta(days=days)
    count = 0
    while True:
        async with transaction(settings) as session:
            gone = await service.purge(session, before=before, dead=dead)
        count += gone
        if gone < service.AT_ONCE:
            return (
                f"{count} payloads are gone. What came stays known, so that it has no effect again."
            )


def fresh_sources() -> str:
    """A source of each type, with a secret of its own, as .env has them."""
    # Hexadecimal digits are base64, too.
    sources = [
        f'  "{kind}": {json.dumps({"type": kind, "secrets": [secrets.token_hex(32)]})}'
        for kind in TYPES
    ]
    lines = ",\n".join(sources)
    return "APP_WEBHOOK_SOURCES='{\n" + lines + "\n}'\n"


def send_sample(
    settings: Settings, name: str, event_type: str, event_id: str, *, port: int | None = None
) -> str:
    """What the server answered. Raises SystemExit when it did not take it."""
    port = port or settings.port
    source = settings.webhook_sources.get(name)
    if source is None or not source.secrets:
        names = ", ".join(name for name, one in settings.webhook_sources.items() if one.secrets)
        raise SystemExit(
            f"APP_WEBHOOK_SOURCES has no source {name} with a secret; those it has: {names or 'none'}."
        )
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to reach it, not to bind it
    address = everywhere.get(settings.host, settings.host)
    named = [host for host in settings.allowed_hosts if "*" not in host]
    host = named[0] if named else f"{address}:{port}"
    path = f"/webhooks/{name}"
    event_id = event_id or f"sample_{secrets.token_hex(8)}"
    try:
        delivery = source.sample(event_type, event_id, url=f"http://{host}{path}", at=time())
    except ValueError as error:
        raise SystemExit(str(error)) from None
    known = identity_of(source, delivery)
    if event_type and event_type != known.type:
        reason = f"it is {known.type}" if known.type else "there is no type_field or type_header"
        raise SystemExit(f"The source {name} would not see this --type: {reason}.")
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        connection.request("POST", path, delivery.body, {**delivery.headers, "Host": host})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise SystemExit(
            f"Nothing answers on {address}:{port} ({error}): start it with `just dev`, "
            "or say its --port."
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        raise SystemExit(f"{response.status} {text}")
    return f"Sent {known.id}, and got {response.status} {text}"


def identity_of(source: Source, delivery: Delivery) -> Identity:
    """As the server will see it."""
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    return source.verify(Delivery(delivery.body, headers, delivery.url), at=time())
