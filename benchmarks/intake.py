"""Webhooks under load: one web process that verifies and commits before it answers, on PostgreSQL in turns with the
limit and with a pattern that answers first and may lose what it promised; whether a worker keeps up; what memory does.
"""

import contextlib
import hmac
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from uuid import uuid4

import psutil

from benchmarks.figures import Figure, Options, environment
from benchmarks.service import Load, bare, load, production, service
from proof.generate import with_cookiecutter
from proof.postgres import Server
from proof.processes import CommandFailed, kill, run, start
from proof.senders import Evidence, Hmac, add_probe, sources

HERE = Path(__file__).parent
SENDER = Hmac("lender")
SETTINGS = {"APP_WEBHOOK_SOURCES": sources([SENDER]), "APP_EMBEDDED_WORKER": "false"}
OF_SENDER = {"SECRET": SENDER.secret, "HEADER": SENDER.header}
MOST = 15_000  # events a second, more than anybody takes here
RATES = {"postgresql": 1000, "sqlite": 500}  # events a second that a worker has to keep up with
MANY = 200_000  # events after which memory is looked at again
PATIENCE = 120  # seconds for a worker to catch up


def measure(options: Options) -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        options.say("Webhooks are not measured: wrk is missing (apt install wrk, brew install wrk).")
        return
    databases = Server()
    try:
        for database in RATES:
            project = _project(options, database)
            with _database(databases, database, project) as url:
                yield from _taking(options, database, project, url)
            with _database(databases, database, project) as url:
                yield _working(options, database, project, url)
            with _database(databases, database, project) as url:
                yield _catching_up(options, database, project, url)
            if database == "postgresql":
                with _database(databases, database, project) as url:
                    yield _memory(options, database, project, url)
    finally:
        databases.stop()


def _project(options: Options, database: str) -> Path:
    into = options.folder / f"intake-{database}"
    into.mkdir()
    answers: dict[str, object] = {"database": database, "auth": "none", "example": False, "webhooks": ["hmac"]}
    project = with_cookiecutter(options.template, answers, into)
    run(["uv", "sync"], project, environment())
    add_probe(project, [SENDER])
    return project


@contextlib.contextmanager
def _database(server: Server, database: str, project: Path) -> Iterator[str]:
    """A new one with the project's tables and that of the probe."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{project.parent / uuid4().hex}.db"
        if database == "postgresql":
            url = stack.enter_context(server.new_database())
        run(["uv", "run", "just", "migrate"], project, production(url, 0) | SETTINGS)
        Evidence(url).create_effects()
        yield url


def _taking(options: Options, database: str, project: Path, url: str) -> Iterator[Figure]:
    homes = {}
    with contextlib.ExitStack() as stack:
        homes["service"] = stack.enter_context(service(project, url, **SETTINGS))
        if database == "postgresql":
            homes["limit"] = stack.enter_context(bare("limit", project, url, **OF_SENDER))
            homes["background"] = stack.enter_context(bare("background", project, url, **OF_SENDER))
        taken: dict[str, list[Load]] = {name: [] for name in homes}
        owed: dict[str, list[int]] = {name: [] for name in homes}
        for home in homes.values():
            _send(options, home, 1)
            _settle(url)
        for _ in range(options.rounds):
            for name, home in homes.items():
                taken[name].append(_send(options, home, options.seconds))
                owed[name].append(_settle(url))
    yield _figure(f"{database}: intake of webhooks", taken["service"], taken.get("limit"))
    if "background" in taken:
        yield _figure(f"{database}: intake, and BackgroundTasks instead", taken["service"], taken["background"])
        lost = f"{median(owed['background']):,.0f}"
        kept = f"{median(owed['service']):,.0f}"
        yield Figure(f"{database}: answered and not yet kept, BackgroundTasks and intake", lost, kept)
    half = median(one.requests for one in taken["service"]) / 2
    with service(project, url, **SETTINGS) as home:
        loads = [_send(options, home, options.seconds, half) for _ in range(options.rounds)]
    yield _figure(f"{database}: intake at half load", loads)


def _settle(url: str) -> int:
    """Wait until nothing more is written, which would slow down whose turn is next: how many rows that was."""
    evidence = Evidence(url)
    first = last = sum(evidence.states().values())
    while True:
        time.sleep(0.5)
        count = sum(evidence.states().values())
        if count == last:
            return count - first
        last = count


def _working(options: Options, database: str, project: Path, url: str) -> Figure:
    """Events come at a fixed rate, and a worker, a process of its own, does them meanwhile."""
    evidence = Evidence(url)
    seconds = 4 * options.seconds
    with service(project, url, **SETTINGS) as home, _worker(project, url):
        load = _send(options, home, seconds, RATES[database])
        ended = time.monotonic()
        left = evidence.states().get("waiting", 0)
        while set(evidence.states()) - {"done"}:
            if time.monotonic() - ended > PATIENCE:
                raise CommandFailed(f"the worker did not keep up: {evidence.states()}", "")
            time.sleep(0.1)
        took = time.monotonic() - ended
    done = len(evidence.order_of_effects())
    if done != evidence.states()["done"]:
        raise CommandFailed(f"{evidence.states()['done']:,} events had {done:,} effects", "")
    what = f"{database}: intake and one worker, {done:,} events: waiting at the end"
    return Figure(what, f"{left:,} at {load.requests:,.0f}/s", f"{took:.1f} s more", "", _latency([load]))


def _catching_up(options: Options, database: str, project: Path, url: str) -> Figure:
    """A worker alone, after events came without one: what waits must not make it slower."""
    evidence = Evidence(url)
    with service(project, url, **SETTINGS) as home:
        _send(options, home, options.seconds)
        _settle(url)
    with _worker(project, url):
        while not evidence.states().get("done"):
            time.sleep(0.1)
        started, first = time.monotonic(), evidence.states()
        left = sum(first.values()) - first["done"]
        while set(states := evidence.states()) - {"done"}:
            if time.monotonic() - started > PATIENCE:
                break
            time.sleep(0.1)
        took = time.monotonic() - started
    done = states["done"] - first["done"]
    return Figure(f"{database}: one worker alone, {left:,} events waiting", f"{done / took:,.0f}/s")


def _memory(options: Options, database: str, project: Path, url: str) -> Figure:
    """Of the web process, in which nothing may be left of what went through."""
    sizes, sent = [], 0
    with service(project, url, **SETTINGS) as home:
        while sent < MANY:
            sent += int(_send(options, home, options.seconds).requests * options.seconds)
            sizes.append(_megabytes(home))
            options.say(f"{sent:,} events: {sizes[-1]:.0f} MB")
    what = f"{database}: memory after {sent / len(sizes):,.0f} and after {sent:,} events"
    return Figure(what, f"{sizes[-1]:.0f} MB", f"{sizes[0]:.0f} MB", f"{sizes[-1] / sizes[0]:.2f}")


def _megabytes(home: str) -> float:
    port = int(home.rpartition(":")[2])
    listening = (one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr)
    pids = {one.pid for one in listening if one.laddr and one.laddr.port == port}
    return float(sum(psutil.Process(pid).memory_info().rss for pid in pids)) / 1e6


@contextlib.contextmanager
def _worker(project: Path, url: str) -> Iterator[None]:
    with (project.parent / "worker.log").open("w") as log:
        process = start(["uv", "run", "just", "worker"], project, production(url, 0) | SETTINGS, log.fileno())
        try:
            yield
        finally:
            kill(process)


def _send(options: Options, home: str, seconds: int, rate: float | None = None) -> Load:
    """Events that nobody has seen: as many as are taken, or `rate` a second."""
    events = options.folder / "events.txt"
    _write_events(events, int(seconds * (2 * rate if rate else MOST)) + 1000)
    more = [str(rate)] if rate else []
    return load(home + SENDER.path, ["-s", str(HERE / "events.lua")], seconds, [str(events), *more])


def _write_events(file: Path, count: int) -> None:
    """One a line: signature, tab, body."""
    run_id, secret = uuid4().hex, SENDER.secret.encode()
    with file.open("w", encoding="ascii") as lines:
        for number in range(count):
            event = f'{{"id":"{run_id}{number:06}","name":"loan.funded"}}'
            body = f'{{"event":{event},"customer":"cus_{number % 1000}","amount":{number},"currency":"usd"}}'
            lines.write(f"sha256={hmac.digest(secret, body.encode(), 'sha256').hex()}\t{body}\n")


def _figure(what: str, service: list[Load], other: list[Load] | None = None) -> Figure:
    pairs = [ours.requests / theirs.requests for ours, theirs in zip(service, other or [], strict=False)]
    return Figure(
        what,
        f"{median(load.requests for load in service):,.0f}/s",
        f"{median(load.requests for load in other):,.0f}/s" if other else "",
        f"{median(pairs):.2f} ({' '.join(f'{pair:.2f}' for pair in pairs)})" if pairs else "",
        _latency(service),
    )


def _latency(loads: list[Load]) -> str:
    return f"{median(load.p50 for load in loads):.1f}, {median(load.p99 for load in loads):.1f} ms"
