"""Real processes to look at from outside, and who receives what they send."""

import gzip
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

from django.db import connection
from django.test import Client

from apps.users.models import User
from config.environment import ROOT
from tests.jobs.test_commands import url_of

WORKER = """
import django
django.setup()
import tests.core.observed_urls
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "worker"])
"""
BROKER = os.environ.get("TEST_BROKER_URL") or "memory://"
SERVER = ["-m", "gunicorn", "config.wsgi"]


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets."""

    def __init__(self, port: int) -> None:
        self.received: list[Received] = []
        super().__init__(("127.0.0.1", port), Take)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bytes(self) -> bytes:
        return b"\n".join(str(one.headers).encode() + one.body for one in self.received)


class Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Receiver)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.path, headers, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def a_receiver(port: int = 0) -> Iterator[Receiver]:
    with Receiver(port) as receiver:
        thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


class Process:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, port: int) -> None:
        self.process, self.log, self.port = process, log, port

    def end(self) -> None:
        """As whoever stops it does; it has the time to send what it has."""
        self.process.terminate()
        self.process.wait(60)

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, named)
        try:
            with urlopen(request, timeout=60) as response:  # noqa: S310 - ours
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def a_process(log: Path, *command: str, **settings: str) -> Iterator[Process]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.core.observed_settings",
        "APP_DATABASE_URL": url_of(connection.settings_dict),
        "APP_BROKER_URL": BROKER,
        "APP_PORT": str(port),
        **{f"APP_{name.upper()}": value for name, value in settings.items()},
    }
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        yield Process(process, log, port)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def a_server(log: Path, **settings: str) -> Iterator[Process]:
    with a_process(log, *SERVER, **settings) as server:
        until(lambda: answers(server), server)
        yield server


def answers(server: Process) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return server.ask("/health/live")[0] == 200
    except OSError:
        return False


@contextmanager
def a_worker(log: Path, **settings: str) -> Iterator[Process]:
    with a_process(log, "-c", WORKER, **settings) as worker:
        yield worker


def until(true: Callable[[], object], *processes: Process) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "\n".join(one.log.read_text() for one in processes)
        time.sleep(0.05)


class Secrets:
    """A marker for each place in a request, and the request that has them all."""

    PLACES = ("query", "field", "file", "content", "cookie", "token", "agent", "name", "header")

    def __init__(self) -> None:
        self.markers = {place: f"secret{uuid4().hex}" for place in self.PLACES}
        self.address = "203.0.113.77"

    def send_to(self, server: Process, path: str, session: str) -> int:
        of, line = self.markers, b"--x\r\nContent-Disposition: form-data; "
        body = line + f'name="field"\r\n\r\n{of["field"]}\r\n'.encode()
        body += line + f'name="file"; filename="{of["file"]}.txt"\r\n\r\n'.encode()
        body += of["content"].encode() + b"\r\n--x--\r\n"
        status, _ = server.ask(
            f"{path}/{of['name']}?{urlencode({'q': of['query']})}",
            body,
            Content_Type="multipart/form-data; boundary=x",
            Cookie=f"c={of['cookie']}; sessionid={session}",
            Authorization=f"Bearer {of['token']}",
            User_Agent=of["agent"],
            X_Secret=of["header"],
            X_Forwarded_For=self.address,
            Baggage=f"user={of['header']}",
            Tracestate=f"vendor={of['header']}",
        )
        return status

    def in_text(self, text: bytes) -> list[str]:
        """The places whose secrets stand in it."""
        found = [place for place, marker in self.markers.items() if marker.encode() in text]
        return found + ["address"] * (self.address.encode() in text)


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
