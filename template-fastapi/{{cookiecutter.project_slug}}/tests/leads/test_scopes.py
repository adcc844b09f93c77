import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.api_keys.service import issue_key

LEAD = "/leads/00000000-0000-0000-0000-000000000000"
ROUTES = [
    ("GET", "/leads", "leads:read", 200),
    ("GET", LEAD, "leads:read", 404),
    ("POST", "/leads", "leads:write", 201),
    ("PATCH", LEAD, "leads:write", 404),
    ("DELETE", LEAD, "leads:write", 404),
]


@pytest.mark.parametrize(("method", "path", "scope", "status"), ROUTES)
@pytest.mark.parametrize("scopes", [[], ["leads:read"], ["leads:write"]])
async def test_a_key_does_what_its_scopes_say_and_nothing_else(
    client: AsyncClient,
    session: AsyncSession,
    method: str,
    path: str,
    scope: str,
    status: int,
    scopes: list[str],
) -> None:
    _, key = await issue_key(session, name="n8n", scopes=scopes, lifetime=None)
    body = {"name": "x"} if method in ("POST", "PATCH") else None
    headers = {"Authorization": f"Bearer {key}"}
    response = await client.request(method, path, json=body, headers=headers)

    if scope in scopes:
        assert response.status_code == status
    else:
        assert response.status_code == 403
        assert response.json()["detail"] == f"This key lacks the scope {scope}."
        assert f'scope="{scope}"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(("method", "path"), [route[:2] for route in ROUTES])
async def test_without_a_key_there_is_nothing(client: AsyncClient, method: str, path: str) -> None:
    del client.headers["Authorization"]
    body = {"name": "x"} if method in ("POST", "PATCH") else None
    response = await client.request(method, path, json=body)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_documentation_knows_about_keys(client: AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    scheme = schema["components"]["securitySchemes"]["api_key"]

    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert "leads:write" in scheme["description"]
    assert schema["paths"]["/leads"]["get"]["security"] == [{"api_key": []}]
