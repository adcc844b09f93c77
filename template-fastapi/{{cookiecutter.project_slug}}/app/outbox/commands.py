"""The commands of the outbox, for app.commands."""

import argparse
import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from app.jobs import queue
from app.jobs.commands import MOST, purge_rows, report
from app.jobs.models import State
from app.outbox import service
from app.outbox.models import OutboxMessage
from app.settings import Settings
from app.terminal import moment, row_number, table, transaction, whole_number


def add_commands(commands: Any, load_settings: Callable[[], Settings]) -> None:
    def list_all(options: argparse.Namespace) -> None:
        state = State(options.state) if options.state else None
        lines = list_messages(load_settings(), state, options.target, options.limit)
        print("\n".join(asyncio.run(lines)))

    def show(options: argparse.Namespace) -> None:
        print(asyncio.run(show_message(load_settings(), options.number, payload=options.payload)))

    def retry(options: argparse.Namespace) -> None:
        if bool(options.numbers) == bool(options.state or options.target):
            raise SystemExit("Give either the numbers of messages or their --state.")
        if options.target and not options.state:
            raise SystemExit("Say also in which --state they are.")
        if options.numbers:
            print(asyncio.run(retry_messages(load_settings(), options.numbers)))
        else:
            state = State(options.state)
            print(asyncio.run(retry_matching(load_settings(), state, options.target)))

    def cancel(options: argparse.Namespace) -> None:
        print(asyncio.run(cancel_messages(load_settings(), options.numbers)))

    def purge(options: argparse.Namespace) -> None:
        settings = load_settings()
        purged = purge_rows(
            settings, OutboxMessage, options.days, dead=options.dead, rows="messages"
        )
        print(asyncio.run(purged))

    def send(options: argparse.Namespace) -> None:
        print(asyncio.run(send_sample(load_settings(), options.target, options.type)))

    add = commands.add_parser("outbox-list", help="list messages to others, the newest first")
    add.add_argument("--state", choices=[state.value for state in State])
    add.add_argument("--target", help="as APP_OUTBOX_TARGETS names it")
    add.add_argument("--limit", type=whole_number(1, MOST), default=50)
    add.set_defaults(run=list_all)

    add = commands.add_parser("outbox-show", help="show a message to others")
    add.add_argument("number", type=row_number)
    add.add_argument("--payload", action="store_true", help="with what it tells")
    add.set_defaults(run=show)

    add = commands.add_parser("outbox-retry", help="send finished (or dead) messages once more")
    add.add_argument("numbers", type=row_number, nargs="*", metavar="number")
    add.add_argument("--state", choices=[state.value for state in queue.FINISHED])
    add.add_argument("--target", help="of those in this state")
    add.set_defaults(run=retry)

    add = commands.add_parser("outbox-cancel", help="cancel messages that have not arrived")
    add.add_argument("numbers", type=row_number, nargs="+", metavar="number")
    add.set_defaults(run=cancel)

    add = commands.add_parser("outbox-purge", help="delete messages that left some days ago")
    add.add_argument("--days", type=whole_number(1, MOST), default=30)
    add.add_argument("--dead", action="store_true", help="also those that failed for good")
    add.set_defaults(run=purge)

    add = commands.add_parser("outbox-send", help="send a sample to a target")
    add.add_argument("target", help="as APP_OUTBOX_TARGETS names it")
    add.add_argument("--type", default="sample.created")
    add.set_defaults(run=send)


async def list_messages(
    settings: Settings, state: State | None, target: str | None, limit: int
) -> list[str]:
    """A line for each message, below a heading."""
    async with transaction(settings) as session:
        found = await service.list_messages(session, state=state, target=target, limit=limit)
    heading = ("number", "state", "attempts", "due", "target", "type", "error")
    return table([heading, *(line_of(message) for message in found)])


def line_of(one: OutboxMessage) -> tuple[str, ...]:
    due, error = moment(one.due_at), one.last_error or ""
    return str(one.id), one.state, str(one.attempts), due, one.target, one.event_type, error


async def show_message(settings: Settings, number: int, *, payload: bool) -> str:
    async with transaction(settings) as session:
        message = await service.get_message(session, number=number)
    values = {
        "number": message.id,
        "message id": message.message_id,
        "target": message.target,
        "type": message.event_type,
        "state": message.state,
        "attempts": f"{message.attempts} of {message.max_attempts}",
        "due": moment(message.due_at),
        "created": moment(message.created_at),
        "finished": moment(message.finished_at),
        "order key": message.order_key,
        "error": message.last_error,
    }
    lines = [f"{name:<12}{value}" for name, value in values.items() if value]
    return "\n".join([*lines, *(["", message.body] if payload else [])])


async def retry_messages(settings: Settings, numbers: Sequence[int]) -> str:
    async with transaction(settings) as session:
        done = await service.retry(session, ids=numbers)
    return report(numbers, done, "are sent once more", "are not finished", rows="Messages")


async def retry_matching(settings: Settings, state: State, target: str | None) -> str:
    count = after = 0
    while True:
        async with transaction(settings) as session:
            ids = await service.matching(session, state=state, target=target, after=after)
            count += len(await service.retry(session, ids=ids))
        if len(ids) < service.AT_ONCE:
            return f"{count} messages are sent once more."
        after = ids[-1]


async def cancel_messages(settings: Settings, numbers: Sequence[int]) -> str:
    async with transaction(settings) as session:
        done = await service.cancel(session, ids=numbers)
    return report(numbers, done, "are cancelled", "do not wait or run", rows="Messages")


async def send_sample(settings: Settings, target: str, event_type: str) -> str:
    try:
        service.check_target(settings, target)
        async with transaction(settings) as session:
            number = await service.send(session, target, event_type, {"sample": True})
    except (LookupError, ValueError) as error:
        raise SystemExit(str(error)) from None
    return f"Message {number} leaves with the next worker: see `just outbox-show {number}`."
