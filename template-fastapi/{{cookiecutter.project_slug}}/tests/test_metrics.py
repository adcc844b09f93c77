import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from fastapi import APIRouter, FastAPI
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text

from app import logs, metrics
from app.commands import alembic_config
from app.db import Reader
from app.doctor import check_production
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of

ROOT = Path(__file__).parent.parent

Series = dict[tuple[str, ...], float]


def series(scraped: str, name: str) -> Series:
    """The values of a metric by those of its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture(autouse=True)
def logs_as_before(settings: Settings) -> Iterator[None]:
    yield
    logs.configure(settings)


{% if cookiecutter.jobs or cookiecutter.webhooks %}
@pytest.fixture(autouse=True)
def no_work_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take a connection; tests/jobs counts it."""
    monkeypatch.setattr("app.jobs.metrics.KINDS", {})


{% endif %}
@pytest.fixture
def counted(settings: Settings) -> FastAPI:
    app = create_app(settings)
    router = APIRouter(prefix="/people")

    @router.get("/{name}")
    async def person(name: str, session: Reader) -> str:
        if name == "nobody":
            raise KeyError(name)
        await session.execute(text("SELECT 1"))
        scraped = await scrape(app)
        assert series(scraped, "http_requests_in_progress") == {(): 1}
        assert series(scraped, "database_pool_connections")["used",] == 1
        return name

    app.include_router(router, prefix="/v1/{tenant}")
    return app


async def scrape(app: FastAPI) -> str:
    async with client_of(app) as client:
        return (await client.get("/metrics")).raise_for_status().text


async def test_requests_are_counted_by_their_route(counted: FastAPI) -> None:
    async with counted.router.lifespan_context(counted), client_of(counted) as client:
        for name in ("ann", "ben", "nobody"):
            await client.get(f"/v1/17/people/{name}")
        scraped = await scrape(counted)

    route = "/v1/{tenant}/people/{name}"
    assert series(scraped, "http_requests_total") == {
        ("GET", route, "200"): 2,
        ("GET", route, "500"): 1,
    }
    assert series(scraped, "http_request_duration_seconds_count") == {("GET", route): 3}
    assert series(scraped, "http_requests_in_progress") == {(): 0}
    assert series(scraped, "database_pool_connections") == {("used",): 0, ("idle",): 1}
    assert series(scraped, "python_info")
    if sys.platform == "linux":
        assert series(scraped, "process_resident_memory_bytes")[()] > 1_000_000


{% if cookiecutter.rate_limits %}
async def test_a_refusal_is_counted_for_its_route(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"rate_limit": "1/hour"}))

    @app.get("/things/{number:int}")
    async def thing(number: int) -> int:
        return number

    async with client_of(app) as client:
        for number in range(3):
            await client.get(f"/things/{number}")
        scraped = await scrape(app)

    assert series(scraped, "http_requests_total") == {
        ("GET", "/things/{number}", "200"): 1,
        ("GET", "/things/{number}", "429"): 2,
    }


{% endif %}
async def test_callers_cannot_make_new_series(counted: FastAPI) -> None:
    async with client_of(counted) as client:
        for number in range(5):
            await client.get(f"/nowhere/{number}")
            await client.request(f"BREW{number}", "/health/live")
            await client.get("/health/live", headers={"Host": f"host{number}.example"})
            await client.get("/openapi.json", headers={"Host": f"host{number}.example"})
        scraped = await scrape(counted)

    assert series(scraped, "http_requests_total") == {
        ("GET", "unmatched", "404"): 5,
        ("other", "/health/live", "405"): 5,
        ("GET", "/health/live", "200"): 5,
        ("GET", "unmatched", "400"): 5,
    }


async def test_a_scrape_may_name_any_host_and_is_neither_counted_logged_nor_documented(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings.model_copy(update={"log_level": "info"}))

    async with client_of(app) as client:
        for _ in range(2):
            answer = await client.get("/metrics", headers={"Host": "10.0.0.7:8000"})
        documented = (await client.get("/openapi.json")).json()["paths"]
        refused = await client.post("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert not series(answer.text, "http_requests_total")
    logged = capsys.readouterr().out
    assert "path=/openapi.json" in logged
    assert "path=/metrics" not in logged
    assert "/metrics" not in documented
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_a_token_keeps_others_out(settings: Settings, environment: str) -> None:
    token = SecretStr("of-the-scraper")
    more = {"environment": environment, "metrics_token": token}
    app = create_app(settings.model_copy(update=more))

    async with client_of(app) as client:
        assert (await client.get("/metrics")).status_code == 401
        for given, status in {
            "Bearer of-the-scraper": 200,
            "Bearer of-the-scraper2": 401,
            "Basic of-the-scraper": 401,
            "Bearer \xfc": 401,
        }.items():
            headers = {b"Authorization": given.encode("latin-1")}
            assert (await client.get("/metrics", headers=headers)).status_code == status


async def test_production_shows_nothing_without_a_token_and_doctor_says_so(
    settings: Settings,
) -> None:
    production = settings.model_copy(update={"environment": "production"})

    app = create_app(production)
    async with client_of(app) as client:
        assert (await client.get("/metrics")).status_code == 404
    # Nor is anything counted.
    assert metrics.Counting.__name__ not in repr(app.user_middleware)

    hints = [sentence for level, sentence in check_production(production) if level == "warning"]
    assert any("APP_METRICS_TOKEN" in hint for hint in hints)


async def test_connections_that_are_closed_are_not_counted_any_more(counted: FastAPI) -> None:
    async with counted.router.lifespan_context(counted):
        engine = counted.state.database.reading
        async with engine.connect() as connection:
            await connection.invalidate()
        async with engine.connect(), engine.connect():
            during = series(await scrape(counted), "database_pool_connections")
        after = series(await scrape(counted), "database_pool_connections")
        await engine.dispose()
        disposed = series(await scrape(counted), "database_pool_connections")

    assert during == {("used",): 2, ("idle",): 0}
    assert after == {("used",): 0, ("idle",): 2}
    assert disposed == {("used",): 0, ("idle",): 0}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes tell nothing")
def test_workers_share_a_folder_that_goes_with_them_as_gauges_go_with_one_that_died(
    settings: Settings,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with metrics.of_all_workers(settings.model_copy(update={"workers": 2})):
        folder = Path(os.environ[metrics.FOLDER])
        files = {pid: folder / f"gauge_livesum_{pid}.db" for pid in (os.getpid(), ended.pid)}
        for file in files.values():
            MmapedDict(str(file)).close()  # type: ignore[no-untyped-call]
        # Of a worker that begins at this moment.
        (empty := folder / "counter_1.db").touch()
        told = series(metrics.Metrics().text().decode(), "process_open_fds")

        assert set(told) == {(str(os.getpid()),)}
        assert set(folder.iterdir()) == {files[os.getpid()], empty}
        assert not metrics.has_begun(files[ended.pid])
    assert not folder.exists()
    with metrics.of_all_workers(settings):
        assert metrics.FOLDER not in os.environ


@pytest.fixture
def two_workers(
    settings: Settings, new_database: Callable[[], str], tmp_path: Path
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of `just start`, and its process."""
    url = new_database()
    command.upgrade(
        alembic_config(settings.model_copy(update={"database_url": SecretStr(url)})), "head"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "app.commands", "start"],
        cwd=tmp_path,
        env=os.environ
        | {
            "APP_ENVIRONMENT": "development",
            "APP_SECRET_KEY": "x" * 48,
            "APP_DATABASE_URL": url,
            "APP_PORT": str(port),
            "APP_WORKERS": "2",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(tmp_path),
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes tell nothing")
def test_several_workers_tell_of_all_of_them_also_of_one_that_died(
    two_workers: tuple[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    port, process = two_workers

    def scraped() -> str:
        return get(port, "/metrics")

    def workers() -> set[str]:
        try:
            return {pid for (pid,) in series(scraped(), "process_open_fds")}
        except OSError:
            return set()

    first = wait_for(lambda: len(found := workers()) == 2 and found)
    for _ in range(40):
        get(port, "/health/ready")
    # Each of them, whoever answers.
    for _ in range(10):
        text = scraped()
        assert series(text, "http_requests_total") == {("GET", "/health/ready", "200"): 40}
        assert series(text, "http_requests_in_progress") == {(): 0}
        assert series(text, "database_pool_connections")["used",] == 0

    os.kill(int(min(first)), signal.SIGKILL)
    wait_for(lambda: len(now := workers()) == 2 and min(first) not in now)
    assert series(scraped(), "http_requests_total") == {("GET", "/health/ready", "200"): 40}

    (folder,) = tmp_path.glob("metrics-*")
    assert not list(folder.glob(f"gauge_*_{min(first)}.db"))
    process.terminate()
    process.wait(30)
    assert not folder.exists()


def get(port: int, path: str) -> str:
    """Over a connection of its own, so that either worker may answer."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()


def wait_for(what: Callable[[], Any]) -> Any:
    ends = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    return found
