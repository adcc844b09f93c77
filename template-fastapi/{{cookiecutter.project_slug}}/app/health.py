import asyncio
from typing import Literal

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import text

from app.errors import DomainError

ANSWER_WITHIN = 2.0  # seconds

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class NotReadyError(DomainError):
    status = 503


@router.get("/live")
async def live() -> Health:
    """The process runs."""
    return Health()


@router.get("/ready")
async def ready(request: Request) -> Health:
    """The process can do its work: the database answers."""
    try:
        async with (
            asyncio.timeout(ANSWER_WITHIN),
            request.app.state.database.readers() as session,
        ):
            await session.execute(text("SELECT 1"))
    except Exception as error:
        structlog.get_logger().warning("not_ready", error=repr(error))
        raise NotReadyError("The database does not answer.") from error
    return Health()
