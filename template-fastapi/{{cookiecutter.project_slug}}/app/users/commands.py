"""The commands of accounts, for app.commands."""

import argparse
import asyncio
import getpass
import secrets
import sys
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select

from app.db import Database
from app.settings import Settings
from app.users.models import User
from app.users.passwords import Passwords
from app.users.schemas import LEAST, Email

FIRST = "admin@example.com"


def add_commands(commands: Any, load_settings: Callable[[], Settings]) -> None:
    def superuser(options: argparse.Namespace) -> None:
        print(asyncio.run(make_superuser(load_settings(), email=email_of(options.email))))

    add = commands.add_parser("superuser", help="make a superuser, or make an account one")
    add.add_argument("email")
    add.set_defaults(run=superuser)


def on_first_start(settings: Settings) -> None:
    """In development there is a superuser from the beginning."""
    if settings.environment == "development" and asyncio.run(has_no_superuser(settings)):
        print(asyncio.run(make_superuser(settings, email=FIRST, ask=False)))


def email_of(text: str) -> str:
    try:
        return TypeAdapter[str](Email).validate_python(text)
    except ValidationError:
        raise SystemExit("This is no e-mail address: write it like ann@example.com") from None


def ask_for_password() -> str:
    password = getpass.getpass(f"Password (empty: one is made, and shown once; else {LEAST}+): ")
    if password and len(password) < LEAST:
        raise SystemExit(f"A password has {LEAST} characters or more.")
    if password and getpass.getpass("Once more: ") != password:
        raise SystemExit("That were two different passwords.")
    return password


async def has_no_superuser(settings: Settings) -> bool:
    database = Database(settings)
    async with database.readers() as session:
        found = await session.scalar(select(User.id).where(User.is_superuser).limit(1))
    await database.close()
    return found is None


async def make_superuser(settings: Settings, *, email: str, ask: bool = True) -> str:
    """What there is to say about it. An account that exists keeps its password."""
    database = Database(settings)
    try:
        async with database.transactions.begin() as session:
            user = await session.scalar(select(User).where(User.email == email).with_for_update())
            if user is not None:
                again = "" if user.is_active else " and active again"
                user.is_superuser = user.is_active = True
                return f"{email} is a superuser now{again}, with the password it had."
        given = ask_for_password() if ask and sys.stdin.isatty() else ""
        password = given or secrets.token_urlsafe(12)
        hasher = Passwords(memory=settings.password_memory, passes=settings.password_passes)
        password_hash = await hasher.hash(password)
        async with database.transactions.begin() as session:
            session.add(User(email=email, password_hash=password_hash, is_superuser=True))
    finally:
        await database.close()
    if given:
        return f"{email} is a superuser now."
    return f"\nLog in as {email} with the password {password}\n(shown only once; change it soon)"
