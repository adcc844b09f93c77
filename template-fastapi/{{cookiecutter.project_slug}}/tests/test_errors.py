from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from httpx2 import AsyncClient
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.db import Session
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of


def fail(*_: object) -> None:
    raise RuntimeError("something internal")


class FullError(Exception):
    """As PostgreSQL's driver raises it."""

    sqlstate = "53100"


@pytest.fixture
async def failing_app(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[FastAPI]:
    """An application whose routes fail."""
    app = create_app(settings.model_copy(update=getattr(request, "param", {})))

    @app.get("/bug")
    async def bug() -> None:
        fail()

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.get("/database/{state}")
    async def database(state: str) -> None:
        match state:
            case "lost":
                gone = OSError("gone")
                raise OperationalError("SELECT 1", {}, gone, connection_invalidated=True)
            case "busy":
                raise OperationalError("SELECT 1", {}, OSError("database is locked"))
            case "full":
                raise OperationalError("INSERT", {}, OSError("database or disk is full"))
            case "full PostgreSQL":
                raise DBAPIError("INSERT", {}, FullError("could not extend file"))
            case "exhausted":
                raise PoolTimeoutError("QueuePool limit reached")
            case _:
                raise OperationalError("SELECT 1", {}, OSError("no such table"))

    @app.get("/detail/{status}")
    async def detail(status: int) -> None:
        raise HTTPException(status, detail={"code": 1})

    @app.get("/plain-with-headers")
    async def plain_with_headers() -> PlainTextResponse:
        return PlainTextResponse("busy", 429, headers={"Retry-After": "7"})

    @app.get("/failed-commit", status_code=201)
    async def failed_commit(session: Session) -> dict[str, bool]:
        event.listen(session.sync_session, "before_commit", fail)
        return {"kept": True}

    @app.get("/plain-refusal")
    async def plain_refusal() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "not "
            yield "like this"

        return StreamingResponse(chunks(), status_code=409, media_type="text/plain")

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"the beginning"
            fail()

        return StreamingResponse(chunks())

    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def failing(failing_app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with client_of(failing_app) as client:
        yield client


async def test_a_bug_is_a_problem_that_tells_nothing_but_the_request_id(
    failing: AsyncClient,
) -> None:
    response = await failing.get("/bug", headers={"X-Request-ID": "from-the-proxy.1"})

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == "from-the-proxy.1"
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong on our side.",
        "request_id": "from-the-proxy.1",
    }


@pytest.mark.parametrize("failing_app", [{"debug": True}], indirect=True)
async def test_a_bug_is_explained_when_debug_is_on(failing: AsyncClient) -> None:
    assert "something internal" in (await failing.get("/bug")).json()["detail"]


async def test_a_failed_commit_is_never_reported_as_success(failing: AsyncClient) -> None:
    assert (await failing.get("/failed-commit")).status_code == 500


async def test_a_refusal_in_plain_text_becomes_a_problem(failing: AsyncClient) -> None:
    response = await failing.get("/plain-refusal")

    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "not like this"


async def test_an_answer_that_breaks_off_reaches_the_server_as_an_error(
    failing_app: FastAPI,
) -> None:
    # So that the server closes the connection and does not end the answer as if it were whole.
    async with client_of(failing_app, raise_app_exceptions=True) as client:
        with pytest.raises(RuntimeError, match="something internal"):
            await client.get("/broken-stream")


@pytest.mark.parametrize("state", ["lost", "busy", "full", "full PostgreSQL", "exhausted"])
async def test_a_database_that_cannot_answer_now_is_said_to_be_temporary(
    failing: AsyncClient, state: str
) -> None:
    response = await failing.get(f"/database/{state}")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"


async def test_a_wrong_statement_is_a_bug_and_not_a_database_that_is_away(
    failing: AsyncClient,
) -> None:
    assert (await failing.get("/database/wrong")).status_code == 500


@pytest.mark.parametrize("status", [409, 499])
async def test_any_status_and_detail_become_a_problem(failing: AsyncClient, status: int) -> None:
    response = await failing.get(f"/detail/{status}")

    assert response.status_code == status
    assert response.json()["detail"] == '{"code": 1}'


async def test_a_refusal_keeps_its_headers(failing: AsyncClient) -> None:
    response = await failing.get("/plain-with-headers")

    assert response.json()["detail"] == "busy"
    assert response.headers["retry-after"] == "7"
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_web_site_that_may_ask_may_read_failures(failing: AsyncClient) -> None:
    response = await failing.get("/bug", headers={"Origin": "https://app.example.com"})

    assert response.status_code == 500
    assert response.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_an_unknown_path_is_a_problem(client: AsyncClient) -> None:
    response = await client.get("/nothing-here")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["title"] == "Not Found"


async def test_a_method_that_is_not_answered_is_told_which_ones_are(failing_app: FastAPI) -> None:
    failing_app.delete("/body")(lambda: None)
    async with client_of(failing_app) as client:
        response = await client.put("/body")

    assert response.status_code == 405
    assert response.headers["allow"] == "POST, DELETE"


async def test_a_host_that_is_not_ours_is_refused(client: AsyncClient) -> None:
    response = await client.get("/openapi.json", headers={"Host": "evil.example"})

    assert response.status_code == 400
    assert response.json()["detail"] == "Invalid host header"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(failing: AsyncClient, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 10_000

    content = b"x" * 30_000 if declared else chunks()
    response = await failing.post("/body", content=content)

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert "x-request-id" in response.headers
