"""A server on loopback that keeps what it is sent, and requests full of what must not reach it."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import structlog
from fastapi import FastAPI, Request
from httpx2 import AsyncClient
from sqlalchemy import text

from app.db import Session

MARK = "m4rk3r"
ADDRESS = "203.0.113.77"
FILE = (
    f'--x\r\nContent-Disposition: form-data; name="f"; filename="{MARK}.pdf"\r\n\r\n{MARK}\r\n--x--'
)


@dataclass
class Receiver:
    port: int
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def everything(self) -> bytes:
        return repr((self.paths, self.headers)).encode() + b"".join(self.bodies)


@contextmanager
def receiving(*, silent: bool = False) -> Iterator[Receiver]:
    """Answers 200 to everything, or takes it and never answers."""
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            zipped = self.headers.get("Content-Encoding") == "gzip"
            receiver.paths.append(self.path)
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.bodies.append(gzip.decompress(body) if zipped else body)
            if silent:
                ended.wait(30)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def add_route_that_knows_much(app: FastAPI) -> None:
    @app.post("/people/{name}")
    async def people(name: str, request: Request, session: Session, fail: str = "") -> str:
        local = f"{MARK} {name} {(await request.body()).decode()}"
        log = structlog.get_logger().bind(email=f"{MARK}@example.com")
        log.warning("noted", user=local)
        await session.execute(text("SELECT :value"), {"value": local})
        await session.execute(text(f"SELECT '{local}'".replace(":", "\\:")))
        await session.execute(text("CREATE TEMPORARY TABLE people (email TEXT PRIMARY KEY)"))
        row = {"email": f"{MARK}@example.com"}
        await session.execute(text("INSERT INTO people VALUES (:email)"), row)
        if fail == "constraint":
            await session.execute(text("INSERT INTO people VALUES (:email)"), row)
        if fail == "message":
            try:
                int(local)
            except ValueError as error:
                log.exception(f"failed for {local}", note=local)
                raise RuntimeError(local) from error
        await session.execute(text("DROP TABLE people"))
        return "done"


async def ask_with_secrets(client: AsyncClient, fail: str) -> int:
    """The status of a request that has something secret or personal in each of its parts."""
    answer = await client.post(
        f"/people/{MARK}?fail={fail}&q={MARK}",
        headers={
            "Authorization": f"Bearer {MARK}",
            "Content-Type": f"multipart/form-data; boundary=x; note={MARK}",
            "Cookie": f"session={MARK}",
            "Referer": f"https://app.example.com/{MARK}",
            "User-Agent": MARK,
            "X-Forwarded-For": ADDRESS,
            "X-User": f"{MARK}@example.com",
            "baggage": f"user={MARK}",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate": f"vendor={MARK}",
        },
        content=FILE,
    )
    return answer.status_code


def assert_nothing_leaked(received: bytes) -> None:
    assert received
    for secret in (MARK, ADDRESS):
        start = received.find(secret.encode())
        assert start < 0, received[max(0, start - 200) : start + 100]
