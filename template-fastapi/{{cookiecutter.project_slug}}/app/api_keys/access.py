"""Who asks: the dependencies of routes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import or_, update

from app.api_keys.models import ApiKey
from app.api_keys.scopes import SCOPES
from app.api_keys.service import find_key
from app.db import Database, now
from app.errors import ForbiddenError, UnauthorizedError
{% if cookiecutter.rate_limits %}
from app.rate_limits import count_caller
{% endif %}

NOTE_USE_EVERY = timedelta(minutes=1)

bearer = HTTPBearer(
    scheme_name="api_key",
    description="\n".join(
        ["A key with the scope that the route asks for:"]
        + [f"- `{scope}`: {meaning}" for scope, meaning in SCOPES.items()]
    ),
    auto_error=False,
)


@dataclass(frozen=True)
class Caller:
    """The program that asks."""

    key_id: UUID
    name: str
    scopes: frozenset[str]


async def get_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def current_key(
    request: Request,
    database: Annotated[Database, Depends(get_database)],
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    if given is None:
        raise UnauthorizedError("Send a key: Authorization: Bearer KEY.")
    # A session of its own, closed before the route opens one: who holds a connection and waits for
    # another one may wait for ever.
    async with database.readers() as session:
        row = await find_key(session, key=given.credentials)
    if row is None:
        raise UnauthorizedError("The key is not valid, or no longer.")
    request.state.caller = str(row.id)
{% if cookiecutter.rate_limits %}
    await count_caller(request)
{% endif %}
    await note_use(database, row)
    return Caller(row.id, row.name, frozenset(row.scopes.split()))


async def note_use(database: Database, row: ApiKey) -> None:
    """Not with each request: that would make every one of them a write."""
    moment = now()
    if row.last_used_at is not None and row.last_used_at > moment - NOTE_USE_EVERY:
        return
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= moment - NOTE_USE_EVERY)
    async with database.transactions.begin() as session:
        await session.execute(
            update(ApiKey).where(ApiKey.id == row.id, stale).values(last_used_at=moment)
        )


CurrentKey = Annotated[Caller, Depends(current_key)]


def requires(scope: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets in keys with the scope; raises ValueError when there is no such."""
    if scope not in SCOPES:
        raise ValueError(f"{scope} is not in app/api_keys/scopes.py")

    async def check(caller: CurrentKey) -> Caller:
        if scope not in caller.scopes:
            error = ForbiddenError(f"This key lacks the scope {scope}.")
            error.headers = {
                "WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'
            }
            raise error
        return caller

    return check
