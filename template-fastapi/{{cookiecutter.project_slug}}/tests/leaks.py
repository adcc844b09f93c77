"""Requests full of what must not leave."""

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
