"""What each choice of `observability` costs a request: in turns with a project that has none of them, one process,
32 connections, SQLite. Receivers on loopback take everything, on the same cores. It reads /proc, so it runs on Linux.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Options, environment
from benchmarks.service import Load, load, production
from proof.generate import with_cookiecutter
from proof.processes import free_port, run, server
from proof.stacks import STACKS

CHOICES = ["metrics", "traces", "sentry"]
# Something that is traced, asks the database where that is simple, and needs no login.
PATHS = {"fastapi": "/leads?limit=10", "django": "/admin/login/"}


@dataclass(frozen=True)
class Service:
    home: str
    pid: int


@dataclass(frozen=True)
class Asked:
    load: Load
    processor: float  # milliseconds for each request


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def measure(options: Options) -> Iterator[Figure]:
    if shutil.which("wrk") is None or not Path("/proc/self/task").exists():
        options.say("Observability is not measured: it needs wrk (apt install wrk) and Linux.")
        return
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        for stack in STACKS:
            yield from _measure(options, stack, receiver.server_address[1])
    finally:
        receiver.shutdown()


def _measure(options: Options, stack: str, port: int) -> Iterator[Figure]:
    values = {
        "metrics": {"APP_METRICS_TOKEN": "of-the-scraper"},
        "traces": {"APP_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"},
        "sentry": {"APP_SENTRY_DSN": f"http://key@127.0.0.1:{port}/1"},
    }
    sets = {
        "chosen, nothing set": {},
        **values,
        "traces of one in ten": values["traces"] | {"APP_TRACES_SAMPLE_RATIO": "0.1"},
        "all three": {name: value for one in values.values() for name, value in one.items()},
    }
    without = _project(options, stack, [])
    chosen = _project(options, stack, CHOICES)
    with _service(stack, without, {}) as none:
        for name, more in sets.items():
            with _service(stack, chosen, more) as ours:
                both = [none, ours]
                for one in both:
                    load(one.home + PATHS[stack], [], 1)
                pairs = [[_asked(one, PATHS[stack], options.seconds) for one in both] for _ in range(options.rounds)]
            yield from _figures(f"{stack}, observability: {name}", pairs)


def _project(options: Options, stack: str, choices: list[str]) -> Path:
    into = options.folder / f"observability-{stack}-{len(choices)}"
    into.mkdir()
    answers: dict[str, object] = {"stack": stack, "observability": choices}
    project = with_cookiecutter(options.template, answers | ({"auth": "none"} if stack == "fastapi" else {}), into)
    run(["uv", "sync"], project, environment())
    run(["uv", "run", "just", "migrate"], project, _settings(stack, project, 0))
    return project


def _settings(stack: str, project: Path, port: int) -> dict[str, str]:
    words = {"auth": "none", "broker": "embedded", "media": "local"}
    return production(f"sqlite:///{project / 'bench.db'}", port) | STACKS[stack].production(words, "")


@contextlib.contextmanager
def _service(stack: str, project: Path, more: dict[str, str]) -> Iterator[Service]:
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    settings = _settings(stack, project, port) | more
    others = _children(os.getpid())
    with server(["uv", "run", "just", "start"], project, settings, f"{home}/health/ready"):
        (pid,) = _children(os.getpid()) - others
        yield Service(home, pid)


def _asked(service: Service, path: str, seconds: int) -> Asked:
    before = _processor_seconds(service.pid)
    measured = load(service.home + path, [], seconds)
    took = _processor_seconds(service.pid) - before
    return Asked(measured, 1000 * took / (measured.requests * seconds))


def _children(pid: int) -> set[int]:
    return {int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()}


def _processor_seconds(pid: int) -> float:
    """Of a process and of all that it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_processor_seconds(child) for child in _children(pid))


def _figures(what: str, pairs: list[list[Asked]]) -> Iterator[Figure]:
    none, ours = ([pair[side] for pair in pairs] for side in (0, 1))
    rates = [b.load.requests / a.load.requests for a, b in pairs]
    yield Figure(
        what,
        f"{median(one.load.requests for one in ours):,.0f}/s",
        f"{median(one.load.requests for one in none):,.0f}/s",
        f"{median(rates):.2f} ({' '.join(f'{rate:.2f}' for rate in rates)})",
        f"{median(one.load.p50 for one in ours):.1f}, {median(one.load.p99 for one in ours):.1f} ms",
    )
    # Where others work beside it this says more.
    costs = [b.processor / a.processor for a, b in pairs]
    yield Figure(
        f"{what}, processor time",
        f"{median(one.processor for one in ours):.2f} ms",
        f"{median(one.processor for one in none):.2f} ms",
        f"{median(costs):.2f} ({' '.join(f'{cost:.2f}' for cost in costs)})",
    )
