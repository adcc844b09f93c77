import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from time import monotonic, sleep
from typing import Annotated, Any
from uuid import uuid4

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel, SecretStr, ValidationError
from structlog.testing import capture_logs

from app import rate_windows
from app.errors import DomainError
from app.main import create_app
from app.rate_limits import check_limits, count_caller, rate_limit
from app.rate_windows import Limit, Window, Windows, limits_of
from app.settings import Settings, explain

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"
TEN = Limit("default", 10, 60)


class StrangerError(DomainError):
    status = 401


class Thing(BaseModel):
    size: int


def service(settings: Settings, **values: Any) -> FastAPI:
    """The application with some routes and, unless `values` say otherwise, three requests a minute."""
    app = create_app(settings.model_copy(update={"rate_limit": "3/minute"} | values))
    app.state.lookups = []
    bearer = HTTPBearer(auto_error=False)

    async def caller(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> None:
        app.state.lookups.append(given)
        if given is None or not given.credentials.startswith("good"):
            raise StrangerError("Who are you?")
        request.state.caller = given.credentials
        await count_caller(request)

    @app.get("/things/{number}")
    async def read(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    @app.post("/things/{number}")
    async def write(number: int, thing: Thing) -> int:
        return number

    @app.get("/dear")
    @rate_limit("1/hour")
    async def dear() -> None: ...

    @app.get("/cheap")
    @rate_limit(None)
    async def cheap() -> None: ...

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError

    @app.get("/guarded", dependencies=[Depends(caller)])
    async def guarded() -> None: ...

    return app


def at(app: FastAPI, address: str = HERE, *, token: str = "") -> AsyncClient:
    """A client that asks from this address, with this token."""
    return AsyncClient(
        transport=ASGITransport(app, client=(address, 1), raise_app_exceptions=False),
        base_url="http://test",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )


async def get(client: AsyncClient, *paths: str) -> list[int]:
    return [(await client.get(path)).status_code for path in paths]


def later(windows: Windows, seconds: float) -> None:
    """Time passes for the counts."""
    for key, window in windows.known.items():
        windows.known[key] = Window(window.count, window.ends - seconds)


async def test_a_caller_has_so_many_requests_for_each_route(settings: Settings) -> None:
    app = service(settings)
    client = at(app)

    assert await get(client, *(f"/things/{number}" for number in range(4))) == [200, 200, 200, 429]
    assert (await client.post("/things/1", json={"size": 1})).status_code == 200
    assert await get(client, "/guarded") == [401]
    assert await get(at(app, ELSEWHERE), "/things/1") == [200]


async def test_answers_tell_what_is_left(settings: Settings) -> None:
    client = at(service(settings))
    first = await client.get("/things/1")
    second = await client.get("/things/2")

    assert first.headers["RateLimit-Policy"] == '"default";q=3;w=60'
    assert first.headers["RateLimit"] == '"default";r=2;t=60'
    assert second.headers["RateLimit"].startswith('"default";r=1;t=')
    assert "Retry-After" not in first.headers


async def test_too_many_requests_are_a_problem_that_says_how_long_to_wait(
    settings: Settings,
) -> None:
    client = at(service(settings))
    await get(client, "/things/1", "/things/1", "/things/1")
    refused = await client.get("/things/1", headers={"Origin": "https://app.example.com"})

    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("Too many requests: try again in ")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"] == f'"default";r=0;t={refused.headers["Retry-After"]}'
    exposed = refused.headers["Access-Control-Expose-Headers"]
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= {*exposed.split(", ")}


async def test_refusals_and_failures_count_as_well(settings: Settings) -> None:
    client = at(service(settings))
    answers = [
        await client.post(
            "/things/1", content=content, headers={"Content-Type": "application/json"}
        )
        for content in ('{"size": "large"}', "{", "x" * (settings.max_body_size + 1), "{")
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 413, 429]
    assert all("RateLimit" in answer.headers for answer in answers)
    assert await get(client, *4 * ["/broken"]) == [500, 500, 500, 429]


async def test_the_window_ends(settings: Settings) -> None:
    app = service(settings)
    client = at(app)
    await get(client, *4 * ["/things/1"])

    later(app.state.rate_limits, 50)
    assert await get(client, "/things/1") == [429]
    later(app.state.rate_limits, 10)
    assert await get(client, *4 * ["/things/1"]) == [200, 200, 200, 429]


async def test_several_limits_hold_together(settings: Settings) -> None:
    app = service(settings, rate_limit="2/second;3/hour")
    client = at(app)
    first = await client.get("/things/1")
    assert first.headers["RateLimit-Policy"] == '"default";q=2;w=1, "default-2";q=3;w=3600'
    assert first.headers["RateLimit"] == '"default";r=1;t=1, "default-2";r=2;t=3600'

    later(app.state.rate_limits, 1)
    await client.get("/things/1")
    later(app.state.rate_limits, 1)
    assert await get(client, "/things/1", "/things/1") == [200, 429]


async def test_a_route_has_its_own_limit_or_none(settings: Settings) -> None:
    client = at(service(settings))
    dear = await client.get("/dear")

    assert dear.headers["RateLimit-Policy"] == '"route";q=1;w=3600'
    assert await get(client, "/dear") == [429]
    assert await get(client, *5 * ["/cheap"]) == 5 * [200]
    with pytest.raises(ValueError, match="is no rate limit"):
        rate_limit("often")


async def test_health_documentation_and_unknown_paths_are_not_limited(settings: Settings) -> None:
    client = at(service(settings, rate_limit="1/hour"))

    for path in ("/health/live", "/docs", "/redoc", "/openapi.json", "/favicon.ico"):
        answers = [await client.get(path) for _ in range(3)]
        assert {answer.status_code for answer in answers} <= {200, 204}
        assert not any("RateLimit-Policy" in answer.headers for answer in answers)
    assert await get(client, *3 * ["/nothing-here"]) == 3 * [404]
    assert (await client.delete("/things/1")).status_code == 405


async def test_a_browser_that_asks_whether_it_may_ask_is_not_counted(settings: Settings) -> None:
    client = at(service(settings, rate_limit="1/hour"))
    asking = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    for _ in range(3):
        assert (await client.options("/things/1", headers=asking)).status_code == 200

    assert await get(client, "/things/1") == [200]


async def test_who_is_authenticated_is_counted_wherever_from(settings: Settings) -> None:
    app = service(settings)
    ann, ann_elsewhere = at(app, token="good-ann"), at(app, ELSEWHERE, token="good-ann")

    assert await get(ann, "/guarded", "/guarded") == [200, 200]
    assert await get(ann_elsewhere, "/guarded") == [200]
    refused = await ann_elsewhere.get("/guarded")
    assert refused.status_code == 429
    assert ";r=0;" in refused.headers["RateLimit"]
    # At the same address: neither others nor strangers share what is hers.
    assert await get(at(app, token="good-bob"), *4 * ["/guarded"]) == [200, 200, 200, 429]
    assert await get(at(app), "/guarded") == [401]


async def test_who_makes_credentials_up_is_counted_by_address_and_soon_not_looked_up(
    settings: Settings,
) -> None:
    app = service(settings)
    answers = [await at(app, token=token).get("/guarded") for token in "abcde"]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    left = [answer.headers["RateLimit"].split(";")[1] for answer in answers]
    assert left == ["r=2", "r=1", "r=0", "r=0", "r=0"]
    assert len(app.state.lookups) == 3
    assert await get(at(app, ELSEWHERE, token="f"), "/guarded") == [401]


async def test_credentials_where_nobody_asks_for_them_change_nothing(settings: Settings) -> None:
    app = service(settings)
    clients = [at(app, token=str(number)) for number in range(50)]
    statuses = await asyncio.gather(*(get(client, "/things/1") for client in clients))

    assert statuses.count([200]) == 3


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_trusted_proxy_says_whose_request_it_is(
    settings: Settings, trusted: bool
) -> None:
    client = at(service(settings, trusted_proxy=trusted))
    statuses = [
        (await client.get("/things/1", headers={"X-Forwarded-For": f"1.1.1.1, 203.0.113.{n}"}))
        for n in range(5)
    ]

    assert [answer.status_code for answer in statuses].count(200) == (5 if trusted else 3)


async def test_of_many_requests_at_the_same_moment_none_slips_through(settings: Settings) -> None:
    client = at(service(settings, rate_limit="10/minute"))
    statuses = await asyncio.gather(*(get(client, "/things/1") for _ in range(50)))

    assert (statuses.count([200]), statuses.count([429])) == (10, 40)


async def test_memory_does_not_grow_with_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_windows, "MOST_WINDOWS", 100)
    windows = Windows()
    for number in range(150):
        await windows.count(f"short {number}", Limit("", 1, 0))
        await windows.count(f"long {number}", Limit("", 1, 60))

    assert len(windows.known) <= 100
    # The newest of those that still count.
    assert windows.full("long 149", Limit("", 1, 60))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TEST_REDIS_URL, or a server of our own."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    if not (program := shutil.which("redis-server")):
        pytest.skip("no TEST_REDIS_URL, and no redis-server on the PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:  # noqa: S603 - no input
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Windows]:
    windows = Windows(redis_url, prefix=uuid4().hex)
    yield windows
    await windows.close()


async def test_processes_count_together_in_redis(redis: Windows, redis_url: str) -> None:
    other = Windows(redis_url, prefix=redis.prefix)
    answers = await asyncio.gather(
        *(windows.count("ann", TEN) for _ in range(25) for windows in (redis, other))
    )
    passed = [window for window in answers if window and window.count <= TEN.most]
    await other.close()

    assert len(passed) == 10
    assert all(0 < window.seconds <= 60 for window in passed)
    # From now on this process knows without asking.
    assert redis.full("ann", TEN)


async def test_redis_that_was_away_counts_again(redis: Windows) -> None:
    await redis.count("ann", TEN)
    answering, redis.redis = redis.redis, Windows("redis://127.0.0.1:1").redis

    with capture_logs() as logs:
        assert await redis.count("ann", TEN) is None
        redis.redis = answering
        assert await redis.count("ann", TEN) is None
        redis.ask_after = 0.0
        window = await redis.count("ann", TEN)

    assert window
    assert window.count == 2
    assert [line["event"] for line in logs] == ["rate_limits_off"]


@pytest.mark.parametrize("silent", [True, False])
async def test_requests_go_through_soon_when_redis_is_away_or_silent(
    settings: Settings, silent: bool
) -> None:
    gone = asyncio.Event()

    async def keep_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1] if silent else 1
    url = SecretStr(f"redis://127.0.0.1:{port}/0")
    app = service(settings, rate_limit="1/hour", rate_limit_storage=url)
    client = at(app)
    began = monotonic()
    with capture_logs() as logs:
        answers = await asyncio.gather(*(client.get("/things/1") for _ in range(20)))
    took = monotonic() - began
    gone.set()
    server.close()
    await app.state.rate_limits.close()

    assert {answer.status_code for answer in answers} == {200}
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["rate_limits_off"]
    assert "RateLimit" not in answers[0].headers
    # Half a second, and what a busy machine takes.
    assert took < 3


@pytest.mark.parametrize(
    "text", ["often", "10/fortnight", "0/minute", "10", "-1/second", "1/second;"]
)
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    assert refusal(rate_limit=text) == (
        "APP_RATE_LIMIT is no rate limit: write it like 120/minute or 10/second;1000/hour"
    )


@pytest.mark.parametrize(
    "url", ["memcached://h", "redis://", "redis://h:port", "localhost", "://["]
)
def test_another_storage_is_refused_and_not_repeated(url: str) -> None:
    sentence = refusal(rate_limit_storage=url)

    assert sentence.startswith("APP_RATE_LIMIT_STORAGE is no place to count in")
    assert "memcached" not in sentence


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, environment="development", **values)  # type: ignore[arg-type]
    return "\n".join(explain(refused.value))


def test_limits_are_written_as_the_library_has_them() -> None:
    assert limits_of("10 per 2 minutes") == [Limit("default", 10, 120)]


async def test_doctor_says_when_processes_do_not_count_together(settings: Settings) -> None:
    production = {"environment": "production", "workers": 4}
    alone = await check_limits(settings)
    several = await check_limits(settings.model_copy(update=production))

    assert alone[0] == "ok"
    assert several[0] == "warning"
    assert "up to 4 times as often" in several[1]


async def test_doctor_asks_redis(settings: Settings, redis_url: str, redis: Windows) -> None:
    def counting_in(url: str) -> Settings:
        return settings.model_copy(update={"rate_limit_storage": SecretStr(url)})

    assert (await check_limits(counting_in(redis_url)))[0] == "ok"
    level, said = await check_limits(counting_in("redis://127.0.0.1:1/0"))
    assert level == "warning"
    assert "does not answer, so all pass" in said
