"""What each choice of `observability` costs a request: in turns with a project that has none of them, one process,
32 connections, SQLite. Receivers on loopback take everything, on the same cores.
"""

import contextlib
import shutil
import threading
from collections.abc import Iterator
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


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def measure(options: Options) -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        options.say("Observability is not measured: wrk is missing (apt install wrk, brew install wrk).")
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
            with _service(stack, chosen, more) as home:
                urls = [none + PATHS[stack], home + PATHS[stack]]
                for url in urls:
                    load(url, [], 1)
                pairs = [[load(url, [], options.seconds) for url in urls] for _ in range(options.rounds)]
            yield _figure(f"{stack}, observability: {name}", pairs)


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
def _service(stack: str, project: Path, more: dict[str, str]) -> Iterator[str]:
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    settings = _settings(stack, project, port) | more
    with server(["uv", "run", "just", "start"], project, settings, f"{home}/health/ready"):
        yield home


def _figure(what: str, pairs: list[list[Load]]) -> Figure:
    ratios = [ours.requests / none.requests for none, ours in pairs]
    return Figure(
        what,
        f"{median(ours.requests for _, ours in pairs):,.0f}/s",
        f"{median(none.requests for none, _ in pairs):,.0f}/s",
        f"{median(ratios):.2f} ({' '.join(f'{ratio:.2f}' for ratio in ratios)})",
        f"{median(ours.p50 for _, ours in pairs):.1f}, {median(ours.p99 for _, ours in pairs):.1f} ms",
    )
