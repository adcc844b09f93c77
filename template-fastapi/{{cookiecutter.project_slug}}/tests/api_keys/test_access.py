from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi import Depends, FastAPI, Request
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.api_keys import access, scopes
from app.api_keys.access import CurrentKey, requires
from app.api_keys.models import ApiKey
from app.api_keys.service import issue_key, revoke_key
from app.db import now
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of


@pytest.fixture(autouse=True)
def known_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scopes.SCOPES, "doors:open", "Open doors")
    monkeypatch.setitem(scopes.SCOPES, "doors:close", "Close doors")


@pytest.fixture
async def house(
    app: FastAPI, client: AsyncClient, settings: Settings
) -> AsyncIterator[AsyncClient]:
    """An application with a door; keys are read and noted in the test's transaction."""
    house = create_app(settings)

    @house.post("/door", dependencies=[Depends(requires("doors:open"))])
    async def door(request: Request, key: CurrentKey) -> str:
        assert request.state.caller == str(key.key_id)
        return key.name

    house.dependency_overrides = app.dependency_overrides
    async with client_of(house) as client_of_house:
        yield client_of_house


async def new_key(
    session: AsyncSession, *, scope: str = "doors:open", lifetime: timedelta | None = None
) -> tuple[ApiKey, str]:
    return await issue_key(session, name="robot", scopes=[scope], lifetime=lifetime)


async def open_door(house: AsyncClient, key: str) -> int:
    headers = {b"Authorization": f"Bearer {key}".encode()}
    return (await house.post("/door", headers=headers)).status_code


async def test_a_key_with_the_scope_is_let_in(house: AsyncClient, session: AsyncSession) -> None:
    _, key = await new_key(session)

    assert await open_door(house, key) == 200


async def test_a_key_with_another_scope_is_told_which_one_it_lacks(
    house: AsyncClient, session: AsyncSession
) -> None:
    _, key = await new_key(session, scope="doors:close")
    response = await house.post("/door", headers={"Authorization": f"Bearer {key}"})

    assert response.status_code == 403
    assert response.json()["detail"] == "This key lacks the scope doors:open."
    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


async def test_the_key_itself_is_not_kept(session: AsyncSession) -> None:
    row, key = await new_key(session)

    assert len(row.hash) == 32
    assert key.startswith(f"key_{row.prefix}_")
    assert len(key.rpartition(row.prefix)[2]) > 40
    assert key.encode() not in row.hash


async def test_a_revoked_key_does_not_work_any_more(
    house: AsyncClient, session: AsyncSession
) -> None:
    row, key = await new_key(session)
    assert await open_door(house, key) == 200
    await revoke_key(session, prefix=row.prefix)

    assert await open_door(house, key) == 401


async def test_an_expired_key_does_not_work_any_more(
    house: AsyncClient, session: AsyncSession
) -> None:
    row, key = await new_key(session, lifetime=timedelta(days=1))
    assert await open_door(house, key) == 200
    row.expires_at = now() - timedelta(seconds=1)
    await session.flush()

    assert await open_door(house, key) == 401


async def test_a_forged_key_is_refused(house: AsyncClient, session: AsyncSession) -> None:
    row, key = await new_key(session)
    _, other = await new_key(session)
    forged = [
        key[:-1],
        key + "x",
        key.swapcase(),
        f"key_{row.prefix}_",
        f"key_{row.prefix}_{other.rpartition('_')[2]}",
        f"key_{uuid4().hex[:10]}_{key[15:]}",
        row.hash.hex(),
        row.prefix,
        "key__",
        "",
        "é_é_é",
        "key_\\x00_x",
        "x" * 10_000,
    ]
    for one in forged:
        assert await open_door(house, one) == 401, one


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Token x"])
async def test_another_authorization_is_refused(house: AsyncClient, header: str) -> None:
    response = await house.post("/door", headers={"Authorization": header})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_last_use_is_noted_once_a_minute(
    house: AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, key = await new_key(session)
    await open_door(house, key)
    await session.refresh(row)
    first = row.last_used_at
    await open_door(house, key)
    await session.refresh(row)
    assert first is not None
    assert row.last_used_at == first

    monkeypatch.setattr(access, "NOTE_USE_EVERY", timedelta(0))
    await open_door(house, key)
    await session.refresh(row)
    assert row.last_used_at > first


def test_a_scope_that_there_is_not_is_noticed_when_the_route_is_made() -> None:
    with pytest.raises(ValueError, match="doors:paint"):
        requires("doors:paint")
