"""People for tests: with an account, a login, and a mailbox."""

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.mail import Mail, MailServer, Post
from app.users.access import Accounts, get_accounts
from app.users.logins import open_login
from app.users.models import User
from app.users.throttle import Throttle

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple of another kind"


@dataclass(frozen=True)
class Person:
    id: UUID
    email: str
    headers: dict[str, str]
    refresh_token: str


class Outbox(Post):
    """Keeps the e-mails until a test reads them."""

    def __init__(self) -> None:
        super().__init__(MailServer(), sender="")
        self.waiting: list[Callable[[], Awaitable[Mail | None]]] = []

    def soon(self, write: Callable[[], Awaitable[Mail | None]]) -> None:
        self.waiting.append(write)

    async def mails(self) -> list[Mail]:
        """What has come since the last look."""
        written = [await write() for write in self.waiting]
        self.waiting.clear()
        return [mail for mail in written if mail is not None]


def overrides(app: FastAPI, sessions: async_sessionmaker[AsyncSession]) -> dict[Any, Any]:
    """Dependencies of accounts that write into the test's transaction."""
    accounts: Accounts = app.state.accounts
    in_test = dataclasses.replace(
        accounts,
        transactions=sessions,
        readers=sessions,
        throttle=Throttle(sessions, "for tests only"),
        post=Outbox(),
    )
    return {get_accounts: lambda: in_test}


async def authorised(app: FastAPI, session: AsyncSession) -> dict[str, str]:
    return (await someone(app, session)).headers


async def someone(
    app: FastAPI, session: AsyncSession, *, email: str | None = None, superuser: bool = False
) -> Person:
    accounts: Accounts = app.state.accounts
    user = User(
        email=email or f"{uuid4().hex}@example.com",
        password_hash=await accounts.passwords.hash(PASSWORD),
        is_superuser=superuser,
    )
    session.add(user)
    await session.flush()
    pair = await open_login(accounts, session, user_id=user.id)
    headers = {"Authorization": f"Bearer {pair.access_token}"}
    return Person(user.id, user.email, headers, pair.refresh_token)


def token_in(mail: Mail) -> str:
    return mail.text.partition("#token=")[2].split()[0]
