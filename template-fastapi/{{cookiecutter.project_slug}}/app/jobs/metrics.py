"""How much work there is, for Prometheus. The database knows: each process that is asked says the same."""

from collections.abc import Iterator

import prometheus_client as prometheus
import structlog
from fastapi import FastAPI
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.jobs import queue
from app.jobs.registry import KINDS


async def text(app: FastAPI) -> bytes:
    """Nothing when the database does not answer: the other numbers are wanted then."""
    work = Work()
    try:
        for kind in KINDS.values():
            async with app.state.database.readers() as session:
                work.counts[kind.model.__tablename__] = await queue.counts(session, kind.model)
    except Exception as error:
        structlog.get_logger().warning("work_not_counted", reason=repr(error))
    registry = prometheus.CollectorRegistry()
    registry.register(work)
    return prometheus.generate_latest(registry)


class Work(Collector):
    def __init__(self) -> None:
        self.counts: dict[str, queue.Counts] = {}

    def collect(self) -> Iterator[prometheus.Metric]:
        for table, counts in self.counts.items():
            number = GaugeMetricFamily(table, "Rows that are not done, by state.", labels=["state"])
            number.add_metric(["waiting"], counts.waiting)
            number.add_metric(["running"], counts.running)
            number.add_metric(["dead"], counts.dead)
            yield number
            yield GaugeMetricFamily(
                f"{table}_oldest_waiting_seconds",
                "Since when the oldest one could have begun.",
                counts.oldest,
            )
