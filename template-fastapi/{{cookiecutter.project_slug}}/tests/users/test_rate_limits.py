from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of
from tests.users.people import Person


@pytest.fixture
async def limited(
    app: FastAPI, client: AsyncClient, settings: Settings
) -> AsyncIterator[AsyncClient]:
    """Sends requests to an application that takes two a minute, in the test's transaction."""
    limited = create_app(settings.model_copy(update={"rate_limit": "2/minute"}))
    limited.dependency_overrides = app.dependency_overrides
    async with client_of(limited) as limited_client:
        yield limited_client


async def me(client: AsyncClient, headers: dict[str, str]) -> int:
    return (await client.get("/users/me", headers=headers)).status_code


async def test_people_at_one_address_have_a_limit_each(
    limited: AsyncClient, ann: Person, root: Person
) -> None:
    assert [await me(limited, ann.headers) for _ in range(3)] == [200, 200, 429]
    assert await me(limited, root.headers) == 200


async def test_tokens_that_are_made_up_or_ended_count_for_the_address(
    limited: AsyncClient, ann: Person
) -> None:
    ended = await limited.post("/auth/logout", json={"refresh_token": ann.refresh_token})
    assert ended.status_code == 204

    assert await me(limited, ann.headers) == 401
    assert await me(limited, {"Authorization": "Bearer made-up"}) == 401
    assert await me(limited, {"Authorization": "Bearer another"}) == 429
    assert await me(limited, {}) == 429


async def test_logging_in_is_counted_before_a_password_is_looked_at(
    limited: AsyncClient, ann: Person
) -> None:
    statuses = [
        (await limited.post("/auth/login", data={"username": f"{n}@example.com", "password": "x"}))
        for n in range(3)
    ]

    assert [answer.status_code for answer in statuses] == [401, 401, 429]
    assert statuses[2].json()["detail"].startswith("Too many requests")
