from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from tests.leads.test_leads import ANN, create, names
from tests.users.people import Person, someone


@pytest.fixture
async def other(app: FastAPI, session: AsyncSession, client: AsyncClient) -> Person:
    return await someone(app, session)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_the_lead_of_somebody_else_is_not_found(
    client: AsyncClient, other: Person, method: str
) -> None:
    lead = await create(client)
    path = f"/leads/{lead['id']}"
    body = {"name": "stolen"} if method == "PATCH" else None
    response = await client.request(method, path, json=body, headers=other.headers)

    assert response.status_code == 404
    # The same answer as for an id that there never was.
    assert response.json()["detail"] == "There is no lead with this id."
    assert (await client.get(path)).json() == lead


async def test_lists_search_and_pages_show_ones_own(client: AsyncClient, other: Person) -> None:
    for number in range(3):
        await create(client, name=f"Mine {number}")
        theirs = ANN | {"name": f"Theirs {number}"}
        await client.post("/leads", json=theirs, headers=other.headers)

    assert set(await names(client)) == {"Mine 0", "Mine 1", "Mine 2"}
    assert await names(client, q="theirs") == []
    first = (await client.get("/leads", params={"limit": 1})).json()
    # A cursor of somebody else shows nothing of theirs.
    query: dict[str, Any] = {"limit": 10, "cursor": first["next_cursor"]}
    page = (await client.get("/leads", params=query, headers=other.headers)).json()
    assert {lead["name"][:6] for lead in page["items"]} <= {"Theirs"}


async def test_a_superuser_sees_their_own_only(
    app: FastAPI, session: AsyncSession, client: AsyncClient
) -> None:
    lead = await create(client)
    root = await someone(app, session, superuser=True)

    assert (await client.get(f"/leads/{lead['id']}", headers=root.headers)).status_code == 404


async def test_nobody_names_the_owner(client: AsyncClient, other: Person) -> None:
    lead = await create(client)
    given = {"owner_id": str(other.id)}

    assert (await client.post("/leads", json=ANN | given)).status_code == 422
    assert (await client.patch(f"/leads/{lead['id']}", json=given)).status_code == 422


async def test_the_same_key_of_two_people_makes_two_leads(
    client: AsyncClient, other: Person
) -> None:
    key = {"Idempotency-Key": "form-17"}
    mine = await client.post("/leads", json=ANN, headers=key)
    theirs = await client.post("/leads", json=ANN, headers=key | other.headers)

    assert mine.json()["id"] != theirs.json()["id"]
    assert "idempotency-replayed" not in theirs.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/leads"),
        ("GET", "/leads"),
        ("GET", "/leads/00000000-0000-0000-0000-000000000000"),
        ("PATCH", "/leads/00000000-0000-0000-0000-000000000000"),
        ("DELETE", "/leads/00000000-0000-0000-0000-000000000000"),
    ],
)
async def test_without_a_login_there_is_nothing(
    client: AsyncClient, method: str, path: str
) -> None:
    del client.headers["Authorization"]
    body = {"name": "x"} if method in ("POST", "PATCH") else None

    assert (await client.request(method, path, json=body)).status_code == 401
