"""The generated service under load, open to everybody as the limit is: one process, 32 connections; on PostgreSQL in
turns with the limit.
"""

import contextlib
import http.client
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Options, environment
from proof.generate import with_cookiecutter
from proof.postgres import Server
from proof.processes import CommandFailed, free_port, run, server

HERE = Path(__file__).parent
CONNECTIONS = 32
LEADS = 1000
POOL = "20"  # connections to the database, for both sides
REQUESTS = {
    "hello": ["/health/live"],
    f"list of 100 of {LEADS:,} leads": ["/leads?limit=100"],
    # Last, because it makes the table grow.
    "create a lead": ["/leads", "-s", str(HERE / "create.lua")],
}
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What wrk measured."""

    requests: float  # a second
    p50: float  # milliseconds
    p99: float


def measure(options: Options) -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        options.say("The service is not measured: wrk is missing (apt install wrk, brew install wrk).")
        return
    databases = Server()
    try:
        for database in ("postgresql", "sqlite"):
            with _databases(databases, database, options.folder) as url:
                yield from _measure(options, database, url)
    finally:
        databases.stop()


@contextlib.contextmanager
def _databases(server: Server, database: str, folder: Path) -> Iterator[str]:
    if database == "postgresql":
        with server.new_database() as url:
            yield url
    else:
        yield f"sqlite:///{folder / 'bench.db'}"


def _measure(options: Options, database: str, url: str) -> Iterator[Figure]:
    into = options.folder / database
    into.mkdir()
    project = with_cookiecutter(options.template, {"database": database, "auth": "none"}, into)
    run(["uv", "sync"], project, environment())
    run(["uv", "run", "just", "migrate"], project, production(url, 0))
    with contextlib.ExitStack() as stack:
        homes = {"service": stack.enter_context(service(project, url))}
        _fill(homes["service"])
        if database == "postgresql":
            homes["limit"] = stack.enter_context(bare("limit", project, url))
        for what, (path, *more) in REQUESTS.items():
            taken: dict[str, list[Load]] = {name: [] for name in homes}
            for home in homes.values():
                load(home + path, more, 1)
            for _ in range(options.rounds):
                for name, home in homes.items():
                    taken[name].append(load(home + path, more, options.seconds))
            yield _figure(f"{database}: {what}", **taken)


def production(url: str, port: int) -> dict[str, str]:
    return environment(
        APP_ENVIRONMENT="production",
        APP_SECRET_KEY=secrets.token_urlsafe(48),
        APP_ALLOWED_HOSTS="127.0.0.1",
        APP_DATABASE_URL=url,
        APP_HOST="127.0.0.1",
        APP_PORT=str(port),
    )


@contextlib.contextmanager
def service(project: Path, url: str, **more: str) -> Iterator[str]:
    """As in production, with more settings than it needs."""
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    settings = production(url, port) | more
    with server(["uv", "run", "just", "start"], project, settings, f"{home}/health/ready"):
        yield home


@contextlib.contextmanager
def bare(name: str, project: Path, url: str, **more: str) -> Iterator[str]:
    """One of our own applications, on the project's Python, server and driver."""
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    folder = project.parent / name
    folder.mkdir()
    command = ["uv", "run", "--project", str(project), "--with", "orjson", "uvicorn", f"{name}:app"]
    command += ["--app-dir", str(HERE), "--port", str(port), "--log-level", "warning", "--no-server-header"]
    with server(command, folder, environment(DATABASE_URL=url, POOL_SIZE=POOL, **more), f"{home}/health/live"):
        yield home


def _fill(home: str) -> None:
    connection = http.client.HTTPConnection(home.removeprefix("http://"))
    for number in range(LEADS):
        lead = {
            "name": f"Lead {number}",
            "email": f"lead{number}@example.com",
            "phone": f"+1 555 {number:04}",
            "company": f"Acme {number % 50}",
            "source": "web",
            "notes": f"Some notes about lead {number}.",
        }
        connection.request("POST", "/leads", json.dumps(lead), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 201:
            raise CommandFailed(f"a lead was not created: {answer.status}", body)
    connection.close()


def load(url: str, more: list[str], seconds: int, of_script: Sequence[str] = ()) -> Load:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "--latency", *more, url]
    if of_script:
        command += ["--", *of_script]
    said = run(command, HERE, environment())
    if "Non-2xx" in said or "Socket errors" in said:
        raise CommandFailed(f"{url} did not answer every request", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    percentiles = dict(re.findall(r"^\s+(50|99)%\s+(\S+)\s*$", said, re.MULTILINE))
    if rate is None or len(percentiles) != 2:
        raise CommandFailed("wrk did not say what was expected", said)
    return Load(float(rate[1]), _milliseconds(percentiles["50"]), _milliseconds(percentiles["99"]))


def _milliseconds(text: str) -> float:
    number, unit = text.rstrip("mus"), text.lstrip("0123456789.")
    return float(number) * MILLISECONDS[unit]


def _figure(what: str, service: list[Load], limit: list[Load] | None = None) -> Figure:
    pairs = [ours.requests / theirs.requests for ours, theirs in zip(service, limit or [], strict=False)]
    return Figure(
        what,
        f"{median(load.requests for load in service):,.0f}/s",
        f"{median(load.requests for load in limit):,.0f}/s" if limit else "",
        f"{median(pairs):.2f} ({' '.join(f'{pair:.2f}' for pair in pairs)})" if pairs else "",
        f"{median(load.p50 for load in service):.1f}, {median(load.p99 for load in service):.1f} ms",
    )
