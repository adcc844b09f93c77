import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.leads.models import Lead, LeadStatus

ANN = {"name": "Ann Lee", "email": "ann@example.com", "company": "Acme", "source": "web"}


async def create(client: AsyncClient, **values: Any) -> dict[str, Any]:
    response = await client.post("/leads", json=ANN | values)
    assert response.status_code == 201, response.text
    lead: dict[str, Any] = response.json()
    return lead


async def names(client: AsyncClient, **query: Any) -> list[str]:
    response = await client.get("/leads", params=query)
    assert response.status_code == 200, response.text
    return [lead["name"] for lead in response.json()["items"]]


async def test_a_created_lead_can_be_read(client: AsyncClient) -> None:
    created = await create(client)
    read = await client.get(f"/leads/{created['id']}")

    assert read.json() == created
    assert created["status"] == "new"
    assert created["created_at"].endswith("Z")


async def test_the_same_key_creates_one_lead(client: AsyncClient, session: AsyncSession) -> None:
    headers = {"Idempotency-Key": "form-17"}
    first = await client.post("/leads", json=ANN, headers=headers)
    again = await client.post("/leads", json=ANN, headers=headers)

    assert first.json() == again.json()
    assert await session.scalar(select(func.count()).select_from(Lead)) == 1


async def test_a_change_touches_only_what_it_names(client: AsyncClient) -> None:
    lead = await create(client)
    changed = await client.patch(f"/leads/{lead['id']}", json={"status": "won", "company": None})

    assert changed.status_code == 200
    assert changed.json() == lead | {
        "status": "won",
        "company": None,
        "updated_at": changed.json()["updated_at"],
    }
    assert changed.json()["updated_at"] > lead["updated_at"]


async def test_the_schema_of_a_change_has_no_defaults(client: AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]

    assert all("default" not in field for field in schemas["LeadUpdate"]["properties"].values())


async def test_changing_and_deleting_at_the_same_moment_never_fails(
    committing: AsyncClient,
) -> None:
    for _ in range(5):
        lead = await create(committing)
        path = f"/leads/{lead['id']}"
        answers = await asyncio.gather(
            *(committing.patch(path, json={"name": "x"}) for _ in range(4)),
            *(committing.delete(path) for _ in range(2)),
        )
        assert {answer.status_code for answer in answers} <= {200, 204, 404}
        assert [answer.status_code for answer in answers].count(204) == 1


async def test_a_deleted_lead_is_gone(client: AsyncClient) -> None:
    lead = await create(client)

    assert (await client.delete(f"/leads/{lead['id']}")).status_code == 204
    assert (await client.get(f"/leads/{lead['id']}")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_id_is_not_found(client: AsyncClient, method: str) -> None:
    body = {"name": "x"} if method == "PATCH" else None
    response = await client.request(method, f"/leads/{uuid4()}", json=body)

    assert response.status_code == 404
    assert response.json()["detail"] == "There is no lead with this id."


@pytest.mark.parametrize(
    "values",
    [
        {"name": "  "},
        {"name": None},
        {"name": "x" * 201},
        {"name": "nul \x00"},
        {"email": "ann"},
        {"status": "sold"},
        {"unknown": 1},
    ],
)
async def test_bad_values_are_refused_with_their_place(
    client: AsyncClient, values: dict[str, Any]
) -> None:
    lead = await create(client)
    created = await client.post("/leads", json=ANN | values)
    changed = await client.patch(f"/leads/{lead['id']}", json=values)

    for refused in (created, changed):
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["location"] == ["body", *values]


@pytest.mark.parametrize("sort", ["name", "-name", "created_at", "-created_at", "-updated_at"])
async def test_pages_together_show_every_lead_once_in_order(client: AsyncClient, sort: str) -> None:
    for number in range(7):
        # Equal names: the id must break the tie.
        await create(client, name=f"Lead {number // 2}")
    field = sort.removeprefix("-")

    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"sort": sort, "limit": 3}
    while True:
        page = (await client.get("/leads", params=query)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert len({lead["id"] for lead in seen}) == len(seen) == 7
    values = [lead[field] for lead in seen]
    assert values == sorted(values, reverse=sort.startswith("-"))


async def test_a_lead_that_comes_in_between_moves_no_page(client: AsyncClient) -> None:
    for name in ("a", "b", "c", "d"):
        await create(client, name=name)
    first = (await client.get("/leads", params={"sort": "name", "limit": 2})).json()
    await create(client, name="aa")

    query = {"sort": "name", "limit": 2, "cursor": first["next_cursor"]}
    assert await names(client, **query) == ["c", "d"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "won"}, {"Bob"}),
        ({"source": "ads"}, {"Bob"}),
        ({"email": "ann@example.com"}, {"Ann Lee"}),
        ({"q": "ANN"}, {"Ann Lee"}),
        ({"q": "100%"}, {"Bob"}),
        ({"q": "acme", "source": "web"}, {"Ann Lee"}),
        ({"q": "nobody"}, set()),
    ],
)
async def test_filters_and_search_find_what_they_say(
    client: AsyncClient, query: dict[str, str], found: set[str]
) -> None:
    await create(client)
    await create(
        client,
        name="Bob",
        email="bob@example.com",
        company="100% Acme",
        source="ads",
        status=LeadStatus.WON,
    )

    assert set(await names(client, **query)) == found


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"sort": "notes"},
        {"unknown": "1"},
        {"cursor": "nonsense"},
        {"cursor": "eyJzb3J0IjogIm5hbWUifQ=="},
    ],
)
async def test_a_bad_query_is_refused(client: AsyncClient, query: dict[str, str]) -> None:
    assert (await client.get("/leads", params=query)).status_code == 422


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("created_at", "yesterday"),
        ("created_at", "0001-01-01T00:00:00+23:00"),
        ("created_at", "9999-12-31T23:59:59-23:00"),
        ("name", "nul \x00"),
    ],
)
async def test_a_forged_cursor_is_refused(client: AsyncClient, sort: str, value: str) -> None:
    forged = json.dumps({"sort": sort, "value": value, "id": str(uuid4())})
    cursor = urlsafe_b64encode(forged.encode()).decode()
    response = await client.get("/leads", params={"sort": sort, "cursor": cursor})

    assert response.status_code == 422
    assert "not one of ours" in response.json()["detail"]


async def test_a_cursor_of_another_order_is_refused(client: AsyncClient) -> None:
    for _ in range(2):
        await create(client)
    page = (await client.get("/leads", params={"sort": "name", "limit": 1})).json()
    response = await client.get("/leads", params={"cursor": page["next_cursor"]})

    assert response.status_code == 422
    assert "another sort order" in response.json()["detail"]
