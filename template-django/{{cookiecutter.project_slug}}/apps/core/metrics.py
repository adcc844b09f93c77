"""Numbers for Prometheus, at /metrics: of requests, of this process, and of the jobs in the ledger.

With several workers they come together in the folder that gunicorn.conf.py makes, and each of them
answers for all.
"""

import os
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from apps.core.middleware import GetResponse
from apps.core.routes import method_of, route_of

PATH = "/metrics"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
ANSWER_WITHIN = 2.0  # seconds that the ledger gets: a scraper waits for ten
MOST_JOBS = 10_000  # that are looked at, however many there are
RECENT = timedelta(hours=1)

# When a series began is not worth a second series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types
requests = Counter("http_requests", "Answered requests", ["method", "route", "status"])
seconds = Histogram(
    "http_request_duration_seconds", "From request to answer", ["method", "route"], buckets=BUCKETS
)
in_progress = Gauge(
    "http_requests_in_progress", "Requests not answered yet", multiprocess_mode="livesum"
)
connections = Gauge(
    "database_pool_connections", "In the pool", ["state"], multiprocess_mode="livesum"
)


class Metrics:
    """The outermost layer. It answers scrapes by itself: under any Host header, without a line in
    the log, and uncounted."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.token = settings.ENV.metrics_token.get_secret_value()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info == PATH:
            return self.scrape(request)
        method, started = method_of(request), perf_counter()
        count_connections()
        with in_progress.track_inprogress():
            response = self.get_response(request)
        route = route_of(request)
        requests.labels(method, route, response.status_code).inc()
        seconds.labels(method, route).observe(perf_counter() - started)
        return response

    def scrape(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET"])
        given = request.headers.get("Authorization", "")
        if self.token and not constant_time_compare(given, f"Bearer {self.token}"):
            return HttpResponse(
                "Send APP_METRICS_TOKEN: Authorization: Bearer TOKEN\n",
                content_type="text/plain",
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        return HttpResponse(all_numbers(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def all_numbers() -> bytes:
    registry = REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        AllWorkers(registry, folder)  # type: ignore[no-untyped-call]  # the library has no types
        registry.register(Processes(Path(folder)))
        PlatformCollector(registry)
    jobs = CollectorRegistry()
    jobs.register(Ledger())
    return generate_latest(registry) + generate_latest(jobs)


def count_connections(**_: Any) -> None:
    # PostgreSQL's, where environment.py asked for one.
    if pool := getattr(connection, "pool", None):
        stats = pool.get_stats()
        idle = stats["pool_available"]
        connections.labels("idle").set(idle)
        connections.labels("used").set(stats["pool_size"] - idle)


# After Django's own receiver, which gives the connection back.
request_finished.connect(count_connections)


class AllWorkers(MultiProcessCollector):
    """The library's own fails on the file of a worker that begins at this moment: it is empty."""

    def collect(self) -> Iterable[Metric]:
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
    """What the library tells of its own process, of each worker that lives."""

    def __init__(self, folder: Path) -> None:
        self.pids = [path.stem.rpartition("_")[2] for path in folder.glob("gauge_livesum_*.db")]

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for pid in self.pids:
            of_one = ProcessCollector(pid=partial(str, pid), registry=None)
            for metric in of_one.collect():
                whole = Metric(metric.name, metric.documentation, metric.type)
                whole = families.setdefault(metric.name, whole)
                for sample in metric.samples:
                    whole.add_sample(sample.name, {"pid": pid}, sample.value)
        yield from families.values()


class Ledger(Collector):
    """Jobs, read when asked for, so that workers need no port. Nothing when the database does not
    answer in time."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        answers: SimpleQueue[tuple[Tally[str], float]] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(read_ledger())
            except Error:
                # What the scrape lacks says it, and /health/ready says why.
                return
            finally:
                connection.close()

        # A connection of its own: this one's may be in use, and waiting for it must have an end.
        thread = Thread(target=ask, daemon=True)
        thread.start()
        thread.join(ANSWER_WITHIN)
        try:
            states, age = answers.get_nowait()
        except Empty:
            return
        jobs = GaugeMetricFamily(
            "jobs",
            "Jobs queued and running, and those that ended in the last hour; 10,000 are looked at",
            labels=["state"],
        )
        for state, count in states.items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily(
            "jobs_oldest_waiting_seconds", "Since when the oldest job could have begun", age
        )


def read_ledger() -> tuple[Tally[str], float]:
    """How many jobs are in each state, and for how many seconds the oldest one has been waiting.
    Two reads of an index, however long the ledger is."""
    from apps.jobs.models import Job

    now = timezone.now()
    states = Tally({str(state): 0 for state in Job.State})
    oldest = now
    due = Job.objects.filter(due_at__isnull=False).order_by("due_at")
    for state, run_at in due.values_list("state", "run_at")[:MOST_JOBS]:
        states[state] += 1
        if state == Job.State.QUEUED:
            oldest = min(oldest, run_at)
    ended = Job.objects.filter(finished_at__gt=now - RECENT).order_by("-finished_at")
    states.update(ended.values_list("state", flat=True)[:MOST_JOBS])
    return states, (now - oldest).total_seconds()
