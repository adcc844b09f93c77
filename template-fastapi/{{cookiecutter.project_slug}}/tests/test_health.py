from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr
from sqlalchemy import text

from app.db import Session
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of, unreachable


async def test_a_running_process_is_live(client: AsyncClient) -> None:
    response = await client.get("/health/live")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


async def test_who_asks_for_the_health_may_name_any_host(client: AsyncClient) -> None:
    elsewhere = {"Host": "10.0.0.7:8000"}

    assert (await client.get("/health/live", headers=elsewhere)).status_code == 200
    assert (await client.get("/health/ready", headers=elsewhere)).status_code == 200
    assert (await client.get("/openapi.json", headers=elsewhere)).status_code == 400


async def test_a_process_is_ready_when_its_database_answers(client: AsyncClient) -> None:
    assert (await client.get("/health/ready")).status_code == 200


async def test_a_process_without_its_database_is_live_but_not_ready(settings: Settings) -> None:
    url = SecretStr(unreachable(settings))
    app = create_app(settings.model_copy(update={"database_url": url}))

    async with app.router.lifespan_context(app), client_of(app) as client:
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")

    assert live.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["detail"] == "The database does not answer."


async def test_a_route_without_its_database_says_so(settings: Settings) -> None:
    url = SecretStr(unreachable(settings))
    app = create_app(settings.model_copy(update={"database_url": url}))

    @app.get("/rows")
    async def rows(session: Session) -> int:
        return await session.scalar(text("SELECT 1")) or 0

    async with app.router.lifespan_context(app), client_of(app) as client:
        response = await client.get("/rows")

    # SQLite opens any file, and says later that it is none of its own: a 500.
    expected = 503 if settings.database.get_backend_name() == "postgresql" else 500
    assert response.status_code == expected


async def test_the_pool_gives_its_connections_back(app: FastAPI, client: AsyncClient) -> None:
    for _ in range(30):
        assert (await client.get("/health/ready")).status_code == 200

    # The test's own session has one.
    assert app.state.database.engine.pool.checkedout() <= 1
