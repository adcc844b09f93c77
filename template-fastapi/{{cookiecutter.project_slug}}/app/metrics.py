"""`/metrics` for Prometheus: requests, connections to the database, and what the process needs."""

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from hmac import compare_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import prometheus_client as prometheus
from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from sqlalchemy import Pool, event
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem_response
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from app.jobs import metrics as work
{% endif %}
from app.settings import Settings

PATH = "/metrics"
# Seconds: below what a database needs, and up to what proxies wait for.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
# By this name the library knows that several processes count, each into files of its own.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """What is counted. Each application has its own, and processes that share a folder tell of all."""

    def __init__(self) -> None:
        # When a series began is not worth a second series.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.folder = os.environ.get(FOLDER)
        self.registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "http_requests_total",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = prometheus.Histogram(
            "http_request_duration_seconds",
            "From a request to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_progress = prometheus.Gauge(
            "http_requests_in_progress",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.connections = prometheus.Gauge(
            "database_pool_connections",
            "Open connections to the database, by what they do.",
            ["state"],
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        if not self.folder:
            prometheus.ProcessCollector(registry=self.registry)
            prometheus.PlatformCollector(registry=self.registry)
            prometheus.GCCollector(registry=self.registry)

    def watch(self, pool: Pool) -> None:
        used, idle = self.connections.labels("used"), self.connections.labels("idle")

        def moved(gauge: prometheus.Gauge, by: int) -> Any:
            return lambda *_: gauge.inc(by)

        for name, changes in {
            "connect": [(idle, 1)],
            "checkout": [(idle, -1), (used, 1)],
            "checkin": [(used, -1), (idle, 1)],
            "close": [(idle, -1)],
        }.items():
            for gauge, by in changes:
                event.listen(pool, name, moved(gauge, by))

    def text(self) -> bytes:
        if not self.folder:
            return prometheus.generate_latest(self.registry)
        registry = prometheus.CollectorRegistry()
        registry.register(Processes(living(self.folder)))
        # The library has no types.
        registry.register(AllWorkers(registry=None, path=self.folder))  # type: ignore[no-untyped-call]
        prometheus.PlatformCollector(registry=registry)
        return prometheus.generate_latest(registry)


class AllWorkers(MultiProcessCollector):
    """The library's own fails on the file of a worker that begins at this moment: it is empty."""

    def collect(self) -> Iterable[prometheus.Metric]:
        files = [str(file) for file in Path(self._path).glob("*.db") if has_begun(file)]
        # The library has no types.
        return self.merge(files)  # type: ignore[no-untyped-call, no-any-return]


def has_begun(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        # A gauge of a worker that has just died.
        return False


class Processes(Collector):
    """What the library tells of its own process, of each of several, with the label pid."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids

    def collect(self) -> Iterator[prometheus.Metric]:
        families: dict[str, prometheus.Metric] = {}
        for pid in self.pids:
            process = prometheus.ProcessCollector(pid=partial(str, pid), registry=None)
            for of_one in process.collect():
                whole = prometheus.Metric(of_one.name, of_one.documentation, of_one.type)
                whole = families.setdefault(of_one.name, whole)
                for sample in of_one.samples:
                    whole.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        yield from families.values()


def living(folder: str) -> list[int]:
    """The processes that count into the folder. Of one that died its counters stay, its gauges go."""
    pids = []
    for file in Path(folder).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            # On Windows signal 0 would end it.
            if os.name != "nt":
                os.kill(pid, 0)
            pids.append(pid)
        except ProcessLookupError:
            # Another process may have been faster.
            with suppress(FileNotFoundError):
                mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    return pids


class Counting:
    """The outermost layer: counts requests. It answers scrapes itself, so that no other layer
    counts, limits or logs them, and whoever asks may name any host."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, token: str) -> None:
        self.app = app
        self.metrics = metrics
        self.expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == PATH:
            answer = await self.answer(scope)
            await answer(scope, receive, send)
            return

        status = 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = perf_counter()
        self.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, send_and_see)
        finally:
            self.metrics.in_progress.dec()
            # Who leaves before there is an answer has none.
            if status:
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = route_of(scope)
                self.metrics.requests.labels(method, route, status).inc()
                self.metrics.seconds.labels(method, route).observe(perf_counter() - started)

    async def answer(self, scope: Scope) -> Response:
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if self.expected and not compare_digest(given, self.expected):
            headers = {"WWW-Authenticate": "Bearer"}
            return problem_response(401, "The token is missing or wrong.", headers=headers)
        if scope["method"] not in ("GET", "HEAD"):
            return problem_response(405, headers={"Allow": "GET"})
        # It reads files when there are several processes.
        text = await to_thread.run_sync(self.metrics.text)
{% if cookiecutter.jobs or cookiecutter.webhooks %}
        text += await work.text(scope["app"])
{% endif %}
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def route_of(scope: Scope) -> str:
    """The path as it is written in the code: what callers choose must not make new series."""
    # With the prefixes it was included with; the route itself knows its own part alone.
    included = scope.get("fastapi", {}).get("effective_route_context")
    for route in (included, scope.get("route")):
        if path := getattr(route, "path_format", ""):
            return str(path)
    return "unmatched"


def are_shown(settings: Settings) -> bool:
    """In production somebody has to decide who may read them; until then nothing is counted."""
    return bool(settings.metrics_token.get_secret_value()) or settings.environment == "development"


def install(app: FastAPI, settings: Settings) -> None:
    if not are_shown(settings):
        return
    metrics = Metrics()
    token = settings.metrics_token.get_secret_value()
    app.add_middleware(Counting, metrics=metrics, token=token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = app.state.database
        for engine in {database.engine, database.reading}:
            metrics.watch(engine.sync_engine.pool)
        yield

    app.include_router(APIRouter(lifespan=lifespan))


@contextmanager
def of_all_workers(settings: Settings) -> Iterator[None]:
    """Where several workers count together: a folder of files, gone when they are."""
    if settings.workers == 1 or not are_shown(settings):
        yield
        return
    with TemporaryDirectory(prefix="metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]
