from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.users.models import User
from tests.users.people import PASSWORD, Outbox, Person, someone
from tests.users.test_logins import log_in, refresh

NOBODY = UUID(int=0)
ROUTES = [
    ("GET", "/users/me"),
    ("PATCH", "/users/me"),
    ("POST", "/users/me/password"),
    ("POST", "/users/me/email"),
    ("POST", "/users/me/deactivate"),
    ("POST", "/auth/logout-everywhere"),
    ("GET", "/users"),
    ("POST", "/users"),
    ("GET", f"/users/{NOBODY}"),
    ("PATCH", f"/users/{NOBODY}"),
]
OF_SUPERUSERS = ROUTES[-4:]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_of_an_account_is_open_to_everybody(
    client: AsyncClient, method: str, path: str
) -> None:
    del client.headers["Authorization"]
    response = await client.request(method, path, json={})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OF_SUPERUSERS)
async def test_only_superusers_see_and_change_others(
    client: AsyncClient, ann: Person, outbox: Outbox, method: str, path: str
) -> None:
    path = path if path == "/users" else f"/users/{ann.id}"
    bodies = {"POST": {"email": "bob@example.com"}, "PATCH": {"is_active": False}}
    response = await client.request(method, path, json=bodies.get(method))

    assert response.status_code == 403
    assert response.json()["detail"] == "Only superusers may do this."
    assert await outbox.mails() == []
    assert (await client.get("/users/me", headers=ann.headers)).json()["is_active"]


async def test_a_profile_is_read_and_changed_by_its_owner(client: AsyncClient, ann: Person) -> None:
    changed = await client.patch("/users/me", json={"name": "Ann Lee"}, headers=ann.headers)

    assert changed.status_code == 200
    read = (await client.get("/users/me", headers=ann.headers)).json()
    assert read == changed.json()
    assert read["name"] == "Ann Lee"
    assert not {"password", "password_hash"} & set(read)


@pytest.mark.parametrize(
    "body",
    [
        {"is_superuser": True},
        {"name": "x", "is_superuser": True},
        {"name": "x", "email": "thief@example.com"},
        {"name": "x", "password_hash": "x"},
        {"name": "x", "id": str(uuid4())},
        {"name": "nul \x00"},
        {"name": ""},
        {"name": "x" * 201},
        {},
        [],
        None,
    ],
)
async def test_a_profile_takes_nothing_but_a_name(
    client: AsyncClient, ann: Person, session: AsyncSession, body: Any
) -> None:
    response = await client.patch("/users/me", json=body, headers=ann.headers)

    assert response.status_code == 422
    user = await session.get_one(User, ann.id)
    assert (user.is_superuser, user.email, user.name) == (False, ann.email, None)


@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        (b"[" * 15_000, {400, 422}),
        (b'{"name": ' * 2_000, {400, 422}),
        (b'{"name": "\xff\xfe"}', {400, 422}),
        (b'{"name": "\\ud800"}', {400, 422}),
        (b'{"name": 1e999}', {400, 422}),
        (b'{"name": "' + b"x" * 30_000 + b'"}', {413}),
        (b"\x00" * 100, {400, 422}),
    ],
)
@pytest.mark.parametrize("path", ["/users/me", "/auth/refresh", "/auth/sign-up", "/auth/reset"])
async def test_strange_bodies_are_refusals(
    client: AsyncClient, path: str, content: bytes, statuses: set[int]
) -> None:
    method = "PATCH" if path == "/users/me" else "POST"
    headers = {"Content-Type": "application/json"}
    response = await client.request(method, path, content=content, headers=headers)

    assert response.status_code in statuses
    assert response.headers["content-type"] == "application/problem+json"


async def test_who_deactivates_an_account_ends_all_its_tokens(
    client: AsyncClient, ann: Person, root: Person
) -> None:
    other = (await log_in(client, ann.email)).json()
    body = {"current_password": PASSWORD}
    response = await client.post("/users/me/deactivate", json=body, headers=ann.headers)

    assert response.status_code == 204
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert (await refresh(client, other["refresh_token"])).status_code == 401
    assert (await log_in(client, ann.email)).status_code == 401

    # A superuser brings it back; what was ended stays ended.
    back = await client.patch(f"/users/{ann.id}", json={"is_active": True}, headers=root.headers)
    assert back.json()["is_active"]
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert (await log_in(client, ann.email)).status_code == 200


async def test_a_superuser_deactivates_anybody_at_once(
    client: AsyncClient, ann: Person, root: Person
) -> None:
    path = f"/users/{ann.id}"
    response = await client.patch(path, json={"is_active": False}, headers=root.headers)

    assert response.status_code == 200
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert not (await client.get(path, headers=root.headers)).json()["is_active"]


@pytest.mark.parametrize("body", [{"is_superuser": True}, {"is_active": True, "email": "a@b.com"}])
async def test_rights_are_given_by_a_command_only(
    client: AsyncClient, ann: Person, root: Person, body: dict[str, Any]
) -> None:
    response = await client.patch(f"/users/{ann.id}", json=body, headers=root.headers)

    assert response.status_code == 422


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_an_unknown_user_is_not_found(client: AsyncClient, root: Person, method: str) -> None:
    body = {"is_active": False} if method == "PATCH" else None
    path = f"/users/{uuid4()}"
    response = await client.request(method, path, json=body, headers=root.headers)

    assert response.status_code == 404


async def test_superusers_page_through_all_users(
    app: Any, client: AsyncClient, session: AsyncSession, root: Person
) -> None:
    emails = {(await someone(app, session)).email for _ in range(5)}
    seen: list[str] = []
    query: dict[str, Any] = {"sort": "email", "limit": 2}
    while True:
        page = (await client.get("/users", params=query, headers=root.headers)).json()
        seen += [user["email"] for user in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert seen == sorted(seen)
    assert len(seen) == len(set(seen))
    assert emails <= set(seen)

    found = await client.get("/users", params={"email": root.email.upper()}, headers=root.headers)
    assert [user["email"] for user in found.json()["items"]] == [root.email]


async def test_the_documentation_knows_how_to_log_in(client: AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    flows = schema["components"]["securitySchemes"]["login"]["flows"]

    assert flows["password"]["tokenUrl"] == "auth/login"
    assert schema["paths"]["/users/me"]["get"]["security"] == [{"login": []}]
    for path in ("/auth/login", "/auth/refresh", "/auth/sign-up", "/auth/reset"):
        assert "security" not in schema["paths"][path]["post"]
