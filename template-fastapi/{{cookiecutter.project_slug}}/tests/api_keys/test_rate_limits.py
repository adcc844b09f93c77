from collections.abc import AsyncIterator

import pytest
from fastapi import Depends, FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.api_keys.access import current_key
from app.api_keys.service import issue_key
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of


@pytest.fixture
async def limited(
    app: FastAPI, client: AsyncClient, settings: Settings
) -> AsyncIterator[AsyncClient]:
    """An application with a door that takes two requests a minute, in the test's transaction."""
    limited = create_app(settings.model_copy(update={"rate_limit": "2/minute"}))

    @limited.get("/door", dependencies=[Depends(current_key)])
    async def door() -> None: ...

    limited.dependency_overrides = app.dependency_overrides
    async with client_of(limited) as limited_client:
        yield limited_client


async def open_door(client: AsyncClient, key: str) -> int:
    answer = await client.get("/door", headers={"Authorization": f"Bearer {key}"})
    return answer.status_code


async def test_keys_at_one_address_have_a_limit_each(
    limited: AsyncClient, session: AsyncSession
) -> None:
    _, one = await issue_key(session, name="one", scopes=[], lifetime=None)
    _, other = await issue_key(session, name="other", scopes=[], lifetime=None)

    assert [await open_door(limited, one) for _ in range(3)] == [200, 200, 429]
    assert await open_door(limited, other) == 200


async def test_keys_that_are_made_up_count_for_the_address(limited: AsyncClient) -> None:
    assert [await open_door(limited, f"key_{n}_x") for n in range(3)] == [401, 401, 429]
    assert (await limited.get("/door")).status_code == 429
