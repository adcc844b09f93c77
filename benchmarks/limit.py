"""The limit: the same answers from a bare ASGI application with asyncpg and orjson.

No framework, no validation, no ORM, no middleware: what is left is the server, the database,
signatures and the JSON. It speaks to the tables that the generated service's migrations made.
"""

import hmac
import os
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson

LIST = """
    SELECT id, name, email, phone, company, source, status, notes, created_at, updated_at
    FROM leads ORDER BY created_at DESC, id DESC LIMIT 101
"""
CREATE = """
    INSERT INTO leads (id, name, email, phone, company, source, status, notes, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
KEEP = """
    INSERT INTO webhook_events (source, event_id, event_type, headers, body, encrypted, state, due_at, attempts,
        max_attempts, created_at)
    VALUES ($1, $2, $3, '{}', $4, false, 'waiting', $5, 0, 15, $5) ON CONFLICT (source, event_id) DO NOTHING
"""
SECRET = os.environ.get("SECRET", "").encode()
HEADER = os.environ.get("HEADER", "").lower().encode()

pool: asyncpg.Pool


def encode(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(value)


async def answer(send: Any, status: int, body: object) -> None:
    content = orjson.dumps(body, default=encode)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def read_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message["body"]
        body += part
        if not message.get("more_body"):
            return body


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await run_lifespan(receive, send)
    elif scope["path"] == "/health/live":
        await answer(send, 200, {"status": "ok"})
    elif scope["method"] == "GET":
        rows = await pool.fetch(LIST)
        items = [dict(row) for row in rows[:100]]
        await answer(send, 200, {"items": items, "next_cursor": str(items[-1]["id"])})
    elif scope["path"].startswith("/webhooks/"):
        body = await read_body(receive)
        signature = next((value for name, value in scope["headers"] if name == HEADER), b"")
        if hmac.compare_digest(signature, b"sha256=" + hmac.digest(SECRET, body, "sha256").hex().encode()):
            event = orjson.loads(body)["event"]
            await pool.execute(KEEP, "lender", event["id"], event["name"], body, datetime.now(UTC))
            await answer(send, 200, {"received": True})
        else:
            await answer(send, 401, {})
    else:
        given = orjson.loads(await read_body(receive))
        now = datetime.now(UTC)
        lead = {
            "id": uuid4(),
            "name": given["name"],
            "email": given.get("email"),
            "phone": given.get("phone"),
            "company": given.get("company"),
            "source": given.get("source"),
            "status": "new",
            "notes": given.get("notes"),
            "created_at": now,
            "updated_at": now,
        }
        await pool.execute(CREATE, *lead.values())
        await answer(send, 201, lead)


async def run_lifespan(receive: Any, send: Any) -> None:
    global pool
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            size = int(os.environ["POOL_SIZE"])
            pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size)
            await send({"type": "lifespan.startup.complete"})
        else:
            await pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
