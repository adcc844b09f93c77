"""What is often written instead: FastAPI answers first and inserts in a background task. What is still to be inserted
when the process dies was promised, and is lost.
"""

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import orjson
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from limit import KEEP

SECRET = os.environ["SECRET"].encode()
HEADER = os.environ["HEADER"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    size = int(os.environ["POOL_SIZE"])
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/webhooks/{source}")
async def receive(source: str, request: Request, background: BackgroundTasks) -> dict[str, bool]:
    body = await request.body()
    expected = f"sha256={hmac.digest(SECRET, body, 'sha256').hex()}"
    if not hmac.compare_digest(request.headers.get(HEADER, ""), expected):
        raise HTTPException(401)
    event = orjson.loads(body)["event"]
    background.add_task(keep, source, event["id"], event["name"], body)
    return {"received": True}


async def keep(source: str, event_id: str, event_type: str, body: bytes) -> None:
    await app.state.pool.execute(KEEP, source, event_id, event_type, body, datetime.now(UTC))
