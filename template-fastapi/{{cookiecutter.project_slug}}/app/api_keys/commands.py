"""The commands of API keys, for app.commands."""

import argparse
import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from app.api_keys import service
from app.api_keys.models import ApiKey
from app.api_keys.scopes import SCOPES
from app.db import now
from app.settings import Settings
from app.terminal import table, transaction, whole_number

MOST_DAYS = 3650


def add_commands(commands: Any, load_settings: Callable[[], Settings]) -> None:
    def issue(options: argparse.Namespace) -> None:
        scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
        lifetime = timedelta(days=options.days) if options.days else None
        print(asyncio.run(issue_key(load_settings(), options.name, scopes, lifetime)))

    def list_all(_: argparse.Namespace) -> None:
        print("\n".join(asyncio.run(list_keys(load_settings()))))

    def revoke(options: argparse.Namespace) -> None:
        print(asyncio.run(revoke_key(load_settings(), options.prefix)))

    add = commands.add_parser("key-issue", help="issue an API key, and show it once")
    add.add_argument("name", help="who uses it, such as n8n")
    add.add_argument("--scopes", default="", help=f"with commas between them: {', '.join(SCOPES)}")
    add.add_argument(
        "--days", type=whole_number(1, MOST_DAYS), help="until it expires (default: never)"
    )
    add.set_defaults(run=issue)

    add = commands.add_parser("key-list", help="list the API keys")
    add.set_defaults(run=list_all)

    add = commands.add_parser("key-revoke", help="end an API key, at once")
    add.add_argument("prefix", help="as key-list shows it")
    add.set_defaults(run=revoke)


def on_first_start(settings: Settings) -> None:
    """In development there is a key from the beginning."""
    if settings.environment == "development" and not asyncio.run(list_keys(settings))[1:]:
        print(asyncio.run(issue_key(settings, "development", list(SCOPES), timedelta(days=90))))


async def issue_key(
    settings: Settings, name: str, scopes: list[str], lifetime: timedelta | None
) -> str:
    async with transaction(settings) as session:
        row, key = await service.issue_key(session, name=name, scopes=scopes, lifetime=lifetime)
    until = f"until {row.expires_at:%Y-%m-%d}" if row.expires_at else "until it is revoked"
    may = row.scopes or "nothing"
    return f"\nKey {row.prefix} ({row.name}) may {may}, {until}:\n{key}\n(shown only once)"


async def list_keys(settings: Settings) -> list[str]:
    """A line for each key, below a heading."""
    async with transaction(settings) as session:
        rows = await service.list_keys(session)
    lines = [("prefix", "name", "state", "last use", "scopes")]
    lines += [
        (row.prefix, row.name, state_of(row), date(row.last_used_at), row.scopes) for row in rows
    ]
    return table(lines)


async def revoke_key(settings: Settings, prefix: str) -> str:
    async with transaction(settings) as session:
        row = await service.revoke_key(session, prefix=prefix)
    return f"Key {row.prefix} ({row.name}) does not work any more."


def state_of(row: ApiKey) -> str:
    if row.revoked_at:
        return f"revoked {date(row.revoked_at)}"
    if not service.is_good(row, now()):
        return f"expired {date(row.expires_at)}"
    return f"until {date(row.expires_at)}" if row.expires_at else "good"


def date(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "never"
