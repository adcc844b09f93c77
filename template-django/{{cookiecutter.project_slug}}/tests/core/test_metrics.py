import os
import runpy
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from pytest_django import Settings

import config.settings
from apps.core import doctor, logs, metrics
from apps.jobs.models import Job
from apps.jobs.task import enqueue
from config.environment import Environment
from tests.core.observed import a_server, until
from tests.jobs import tasks

Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


def numbers_in(text: str) -> Numbers:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def number(numbers: Numbers, name: str, **labels: str) -> float:
    return numbers.get((name, frozenset(labels.items())), 0)


def scrape(client: Client) -> Numbers:
    response = client.get("/metrics")
    assert response.status_code == 200
    return numbers_in(response.content.decode())


@pytest.fixture
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests without a database: the ledger is not asked."""
    monkeypatch.setattr(metrics, "read_ledger", lambda: (Counter(), 0.0))


@pytest.fixture
def new(client: Client, no_jobs: None) -> Callable[..., float]:
    """Calling it returns by how much a number has grown since the test began."""
    before = scrape(client)

    def grown(name: str, **labels: str) -> float:
        return number(scrape(client), name, **labels) - number(before, name, **labels)

    return grown


def test_a_request_is_counted_and_timed_by_its_route(
    client: Client, new: Callable[..., float]
) -> None:
    client.get("/health/live")
    client.get("/health/live?q=1")

    about = {"method": "GET", "route": "/health/live"}
    assert new("http_requests_total", **about, status="200") == 2
    assert new("http_request_duration_seconds_count", **about) == 2
    assert new("http_request_duration_seconds_bucket", **about, le="30.0") == 2
    assert new("http_requests_in_progress") == 0


@pytest.mark.django_db
def test_pages_of_the_admin_are_counted_without_the_ids_in_their_addresses(
    client: Client, new: Callable[..., float]
) -> None:
    for pk in (1, 2):
        client.get(f"/admin/users/user/{pk}/change/")

    route = "/admin/users/user/<path:object_id>/change/"
    assert new("http_requests_total", method="GET", route=route, status="302") == 2


def test_callers_cannot_make_new_series(client: Client, new: Callable[..., float]) -> None:
    client.get("/wp-login.php")
    client.get("/static/none.css")
    client.generic("BREW", "/coffee")
    client.get("/health/live", headers={"Host": "evil.example"})

    assert new("http_requests_total", method="GET", route="unmatched", status="404") == 1
    assert new("http_requests_total", method="GET", route="/static/<path>", status="404") == 1
    assert new("http_requests_total", method="other", route="unmatched", status="404") == 1


def test_a_request_in_progress_is_seen(settings: Settings, no_jobs: None) -> None:
    seen: list[float] = []

    def answer(_: Any) -> HttpResponse:
        seen.append(number(numbers_in(metrics.all_numbers().decode()), "http_requests_in_progress"))
        return HttpResponse()

    metrics.Metrics(answer)(RequestFactory().get("/"))

    assert seen == [1]


def test_scrapes_are_neither_counted_nor_logged_nor_in_the_schema(
    client: Client, new: Callable[..., float], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure({"level": "info", "readable": False})
    try:
        client.get("/metrics", headers={"Host": "10.0.0.7:8000"})
        client.get("/health/live")
    finally:
        logs.configure(config.settings.LOGGING)

    assert "/health/live" in (logged := capsys.readouterr().out)
    assert "/metrics" not in logged
    assert new("http_requests_total", method="GET", route="/metrics", status="200") == 0
    assert new("http_requests_total", method="GET", route="unmatched", status="200") == 0
    assert "/metrics" not in SchemaGenerator().get_schema(request=None, public=True)["paths"]


def test_a_scraper_needs_the_token_when_there_is_one(settings: Settings, no_jobs: None) -> None:
    token = secrets.token_urlsafe(16)
    settings.ENV = settings.ENV.model_copy(update={"metrics_token": SecretStr(token)})

    def status(**headers: str) -> int:
        return Client(headers={"Host": "10.0.0.7", **headers}).get("/metrics").status_code

    assert status(Authorization=f"Bearer {token}") == 200
    for wrong in ("", token, f"Bearer {token}x", f"Basic {token}", "Bearer \xff", "Bearer "):
        assert status(Authorization=wrong) == 401
    assert status() == 401


def test_only_reading_is_answered(client: Client) -> None:
    assert client.post("/metrics").status_code == 405


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    given = {
        "ENVIRONMENT": "production",
        "SECRET_KEY": "x" * 48,
        "DATABASE_URL": "sqlite:////srv/app.db",
        "ALLOWED_HOSTS": "www.example.com",
        "PUBLIC_URL": "https://www.example.com",
        "EMAIL_URL": "console:",
        "BROKER_URL": "memory://",
        "S3_BUCKET": "files",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"APP_{name}", value)
    return monkeypatch


def test_without_a_token_production_answers_nobody_and_doctor_says_why(
    production: pytest.MonkeyPatch, no_jobs: None
) -> None:
    def status() -> int:
        middleware = runpy.run_path(config.settings.__file__)["MIDDLEWARE"]
        with override_settings(MIDDLEWARE=middleware, ENV=Environment()):
            return Client(headers={"Host": "localhost"}).get("/metrics").status_code

    def told() -> str:
        return str(list(doctor.diagnose(Environment(), env_file=Path(".env"))))

    production.setattr(doctor, "check_database", lambda: ("ok", ""))

    assert status() == 404
    assert "('warning', '/metrics answers 404 to everybody: APP_METRICS_TOKEN" in told()
    production.setenv("APP_METRICS_TOKEN", "x")
    assert status() == 401
    assert "APP_METRICS_TOKEN" not in told()


@pytest.mark.django_db
def test_jobs_are_counted_by_state_with_the_age_of_the_oldest_one_that_waits() -> None:
    now = timezone.now()
    enqueue(tasks.found, "chess")
    waiting = enqueue(tasks.found, "go")
    Job.objects.filter(pk=waiting.pk).update(run_at=now - timedelta(seconds=90))
    tasks.found.apply_async(("later",), countdown=3600)
    for ago, state in ((10, Job.State.FAILED), (7200, Job.State.SUCCEEDED)):
        job = enqueue(tasks.found, "bridge")
        ended = now - timedelta(seconds=ago)
        Job.objects.filter(pk=job.pk).update(state=state, due_at=None, finished_at=ended)

    states, age = metrics.read_ledger()

    assert states == {"queued": 3, "running": 0, "failed": 1, "succeeded": 0}
    assert 90 <= age < 900


@pytest.mark.django_db
def test_a_long_ledger_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(metrics, "MOST_JOBS", 2)
    for name in ("chess", "go", "bridge"):
        enqueue(tasks.found, name)

    with django_assert_num_queries(2):
        states, _ = metrics.read_ledger()

    assert states["queued"] == 2


def test_a_scrape_is_answered_also_when_the_database_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(metrics, "read_ledger", fail)
    assert ("jobs", frozenset({("state", "queued")})) not in scrape(client)

    monkeypatch.setattr(metrics, "read_ledger", lambda: time.sleep(5))
    monkeypatch.setattr(metrics, "ANSWER_WITHIN", 0.01)
    started = time.monotonic()
    assert number(scrape(client), "process_start_time_seconds") > 0
    assert time.monotonic() - started < 5


def test_a_worker_that_begins_or_ends_at_this_moment_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_jobs: None
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_1.db").touch()

    assert b"jobs" in metrics.all_numbers()
    assert not metrics.has_begun(tmp_path / "gauge_livesum_1.db")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
@pytest.mark.django_db(transaction=True)
def test_each_of_two_workers_tells_the_numbers_of_both_and_of_one_that_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(tasks.found, "chess")
    about = {"method": "GET", "route": "/api/observed/hear/<name>", "status": "200"}
    counted = 0
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with a_server(tmp_path / "log", workers="2", threads="2", metrics_token="t") as server:  # noqa: S106

        def told() -> Numbers:
            status, text = server.ask("/metrics", Authorization="Bearer t", Host="10.0.0.7")
            assert status == 200
            return numbers_in(text)

        (folder,) = tmp_path.glob("metrics-of-*")

        def workers() -> set[str]:
            return {path.stem.split("_")[-1] for path in folder.glob("gauge_livesum_*")}

        # Each new connection goes to whichever worker takes it.
        def both_have_answered() -> bool:
            nonlocal counted
            server.ask("/api/observed/hear/x")
            counted += 1
            return len(workers()) == 2

        until(both_have_answered, server)
        for _ in range(8):
            assert number(told(), "http_requests_total", **about) == counted
        numbers = told()
        assert number(numbers, "jobs", state="queued") == 1
        assert number(numbers, "http_requests_in_progress") == 0
        processes = {
            dict(labels)["pid"] for name, labels in numbers if name == "process_cpu_seconds_total"
        }
        assert processes == (workers() if sys.platform == "linux" else set())
        if connection.vendor == "postgresql":
            assert number(numbers, "database_pool_connections", state="idle") >= 1
        assert server.ask("/metrics", Authorization="Bearer no")[0] == 401

        pids = workers()
        os.kill(int(min(pids)), signal.SIGKILL)
        until(lambda: workers() == pids - {min(pids)}, server)
        for _ in range(4):
            assert number(told(), "http_requests_total", **about) == counted
        server.end()

    assert not folder.exists()
