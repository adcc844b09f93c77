import json

import pytest
import structlog
from fastapi import FastAPI, Request
from httpx2 import AsyncClient
from pydantic import SecretStr
from starlette.types import Message

from app import logs
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_needs_no_internet(client: AsyncClient, page: str) -> None:
    html = (await client.get(page)).text

    assert "https://" not in html
    sources = [part.split('"')[0] for part in html.split('src="')[1:]]
    assert sources
    for source in sources:
        script = await client.get(source)
        assert script.status_code == 200
        # The address of ReDoc's logo; the policy of the page refuses it, and says so.
        assert "https://cdn." not in script.text


async def test_a_browser_that_asks_for_an_icon_meets_no_error(client: AsyncClient) -> None:
    answer = await client.get("/favicon.ico")

    assert answer.status_code == 204
    assert "max-age" in answer.headers["cache-control"]


async def test_the_documentation_can_be_switched_off(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"docs": False}))

    async with client_of(app) as client:
        for page in ("/docs", "/redoc", "/openapi.json"):
            assert (await client.get(page)).status_code == 404


async def test_operation_ids_are_stable_and_unique(client: AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]

    assert len(ids) == len(set(ids))
    assert {"health_live", "health_ready"} <= set(ids)


async def test_every_refusal_is_documented_as_a_problem(client: AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()

    assert "Problem" in schema["components"]["schemas"]
    for path in schema["paths"].values():
        for operation in path.values():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]


async def test_answers_carry_security_headers(client: AsyncClient) -> None:
    headers = (await client.get("/health/live")).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "strict-transport-security" not in headers


async def test_production_insists_on_https(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"environment": "production"}))

    async with client_of(app) as client:
        headers = (await client.get("/health/live")).headers

    assert "max-age=" in headers["strict-transport-security"]


async def test_known_web_sites_may_ask_and_others_may_not(client: AsyncClient) -> None:
    def asking(origin: str) -> dict[str, str]:
        return {"Origin": origin, "Access-Control-Request-Method": "GET"}

    known = await client.options("/health/live", headers=asking("https://app.example.com"))
    other = await client.options("/health/live", headers=asking("https://evil.example"))

    assert known.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "line\tbreak"])
async def test_a_request_id_that_could_forge_log_lines_is_replaced(
    client: AsyncClient, sent: str
) -> None:
    response = await client.get("/health/live", headers={"X-Request-ID": sent})

    assert response.headers["x-request-id"] not in {"", sent}


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({}, "http 127.0.0.1"),
        ({"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, "https 203.0.113.7"),
        ({"X-Forwarded-For": "10.0.0.1, 203.0.113.7"}, "http 203.0.113.7"),
        ({"X-Forwarded-For": "2001:db8::7"}, "http 2001:db8::7"),
        ({"X-Forwarded-For": "<b>", "X-Forwarded-Proto": "file"}, "http 127.0.0.1"),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_trusted_proxy_says_where_a_request_comes_from(
    settings: Settings, trusted: bool, sent: dict[str, str], seen: str
) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxy": trusted}))

    @app.get("/caller")
    async def caller(request: Request) -> str:
        assert request.client
        return f"{request.url.scheme} {request.client.host}"

    async with client_of(app) as client:
        response = await client.get("/caller", headers=sent)

    assert response.json() == (seen if trusted else "http 127.0.0.1")


async def test_production_logs_json_with_the_request_id(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    production = settings.model_copy(update={"environment": "production", "log_level": "info"})
    app = create_app(production)

    async with client_of(app) as client:
        await client.get("/health/live", headers={"X-Request-ID": "abc"})
    logs.configure(settings)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    line = next(line for line in lines if line["event"] == "request")
    assert line["request_id"] == "abc"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health/live", 200)


async def test_the_log_of_a_bug_tells_where_it_is_and_no_variables(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings.model_copy(update={"environment": "production"}))

    @app.get("/bug")
    async def bug(request: Request) -> None:
        token = request.headers["authorization"]
        raise ValueError(len(token))

    async with client_of(app) as client:
        await client.get("/bug", headers={"Authorization": "Bearer my-token"})
    logs.configure(settings)

    logged = capsys.readouterr().out
    assert "test_main.py" in logged
    assert "my-token" not in logged


def test_secrets_do_not_show_when_settings_are_printed(settings: Settings) -> None:
    key = SecretStr("do-not-show-this")

    assert "do-not-show-this" not in repr(settings.model_copy(update={"secret_key": key}))


async def test_the_server_starts_and_stops_the_application(settings: Settings) -> None:
    app = create_app(settings)
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_importing_and_building_the_application_opens_nothing(settings: Settings) -> None:
    app: FastAPI = create_app(settings)

    assert not hasattr(app.state, "database")
    assert structlog.is_configured()
