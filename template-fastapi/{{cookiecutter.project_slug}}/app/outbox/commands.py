"""The commands of the outbox, for app.commands."""

import argparse
import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from app.jobs.commands import date, positive, report, table, transaction
from app.jobs.models import State
from app.outbox import service
from app.outbox.models import Delivery
from app.settings import Settings


def add_commands(commands: Any, load_settings: Callable[[], Settings]) -> None:
    def list_all(options: argparse.Namespace) -> None:
        state = State(options.state) if options.state else None
        lines = list_deliveries(load_settings(), state, options.target, options.limit)
        print("\n".join(asyncio.run(lines)))

    def show(options: argparse.Namespace) -> None:
        print(asyncio.run(show_delivery(load_settings(), options.id)))

    def retry(options: argparse.Namespace) -> None:
        print(asyncio.run(retry_deliveries(load_settings(), options.ids)))

    add = commands.add_parser("delivery-list", help="list messages to others, the newest first")
    add.add_argument("--state", choices=[state.value for state in State])
    add.add_argument("--target", help="as APP_OUTBOX_TARGETS names it")
    add.add_argument("--limit", type=positive, default=50)
    add.set_defaults(run=list_all)

    add = commands.add_parser("delivery-show", help="show all of a message to others")
    add.add_argument("id", type=int)
    add.set_defaults(run=show)

    add = commands.add_parser("delivery-retry", help="deliver messages once more")
    add.add_argument("ids", type=int, nargs="+", metavar="id")
    add.set_defaults(run=retry)


async def list_deliveries(
    settings: Settings, state: State | None, target: str | None, limit: int
) -> list[str]:
    """A line for each delivery, below a heading."""
    async with transaction(settings) as session:
        found = await service.list_deliveries(session, state=state, target=target, limit=limit)
    heading = ("id", "state", "attempts", "due", "target", "type", "error")
    return table([heading, *(line_of(delivery) for delivery in found)])


def line_of(one: Delivery) -> tuple[str, ...]:
    due = date(one.due_at) or ""
    attempts, error = str(one.attempts), one.last_error or ""
    return str(one.id), one.state, attempts, due, one.target, one.event_type, error


async def show_delivery(settings: Settings, delivery_id: int) -> str:
    async with transaction(settings) as session:
        one = await service.get_delivery(session, delivery_id=delivery_id)
    values = {
        "id": one.id,
        "message id": one.message_id,
        "target": one.target,
        "type": one.event_type,
        "state": one.state,
        "attempts": f"{one.attempts} of {one.max_attempts}",
        "due": date(one.due_at),
        "created": date(one.created_at),
        "finished": date(one.finished_at),
        "order key": one.order_key,
        "error": one.last_error,
        "body": one.body,
    }
    return "\n".join(f"{name:<12}{value}" for name, value in values.items() if value is not None)


async def retry_deliveries(settings: Settings, ids: Iterable[int]) -> str:
    async with transaction(settings) as session:
        done = await service.retry(session, ids=ids)
    return report(ids, done, "are delivered once more", "are not finished", rows="Deliveries")
