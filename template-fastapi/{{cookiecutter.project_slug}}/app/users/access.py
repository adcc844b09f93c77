"""Who asks: the dependencies of routes."""

from dataclasses import dataclass
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.db import Database, now
from app.errors import ForbiddenError, UnauthorizedError
from app.mail import Post, mail_server_of
{% if cookiecutter.rate_limits %}
from app.rate_limits import count_caller
{% endif %}
from app.settings import Settings
from app.users.mails import Letterhead
from app.users.models import Login, User
from app.users.passwords import Passwords
from app.users.throttle import Throttle
from app.users.tokens import BadTokenError, Tokens


@dataclass(frozen=True)
class Accounts:
    """What services of accounts need; lives from start-up to shutdown.

    They have no session of the request: a failed login has to be counted though it is refused, no
    transaction may wait for a hash, and no e-mail may leave before the commit.
    """

    settings: Settings
    transactions: async_sessionmaker[AsyncSession]
    readers: async_sessionmaker[AsyncSession]
    passwords: Passwords
    tokens: Tokens
    throttle: Throttle
    post: Post
    letterhead: Letterhead

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Self:
        keys = [settings.secret_key, *settings.previous_secret_keys]
        server = mail_server_of(settings.email_url.get_secret_value())
        assert server is not None
        return cls(
            settings=settings,
            transactions=database.transactions,
            readers=database.readers,
            passwords=Passwords(memory=settings.password_memory, passes=settings.password_passes),
            tokens=Tokens([key.get_secret_value() for key in keys]),
            throttle=Throttle(database.transactions, settings.secret_key.get_secret_value()),
            post=Post(server, sender=settings.email_from or "noreply@localhost"),
            letterhead=Letterhead(settings.title, settings.site),
        )


@dataclass(frozen=True)
class Account:
    """Who asks, and with which login."""

    id: UUID
    email: str
    is_superuser: bool
    login_id: UUID


async def get_accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


async def get_address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


AccountsOfApp = Annotated[Accounts, Depends(get_accounts)]
Address = Annotated[str, Depends(get_address)]

bearer = OAuth2PasswordBearer("auth/login", scheme_name="login", auto_error=False)
# Built once. That the login is there is asked with each request: it ends at once.
ACCOUNT = (
    select(User.id, User.email, User.is_superuser, Login.id)
    .join(Login, Login.user_id == User.id)
    .where(
        Login.id == bindparam("login_id"),
        Login.expires_at > bindparam("moment"),
        User.id == bindparam("user_id"),
        User.is_active,
    )
)


async def current_user(
    request: Request, accounts: AccountsOfApp, token: Annotated[str | None, Depends(bearer)]
) -> Account:
    if token is None:
        raise UnauthorizedError(
            "Log in first: send the access token as Authorization: Bearer TOKEN."
        )
    try:
        claims = accounts.tokens.read("access", token)
    except BadTokenError:
        raise UnauthorizedError("The access token is not valid, or no longer.") from None
    # A session of its own, closed before the route opens one: who holds a connection and waits for
    # another one may wait for ever.
    asked: dict[str, Any] = {
        "login_id": UUID(claims["sid"]),
        "user_id": UUID(claims["sub"]),
        "moment": now(),
    }
    async with accounts.readers() as session:
        row = (await session.execute(ACCOUNT, asked)).one_or_none()
    if row is None:
        raise UnauthorizedError("The access token is not valid, or no longer.")
    account = Account(*row)
    request.state.caller = str(account.id)
{% if cookiecutter.rate_limits %}
    await count_caller(request)
{% endif %}
    return account


CurrentUser = Annotated[Account, Depends(current_user)]


async def superuser(account: CurrentUser) -> Account:
    if not account.is_superuser:
        raise ForbiddenError("Only superusers may do this.")
    return account


Superuser = Annotated[Account, Depends(superuser)]
