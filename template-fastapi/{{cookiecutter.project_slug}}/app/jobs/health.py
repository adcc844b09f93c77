from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app.db import Reader
from app.jobs import queue
from app.jobs.registry import KINDS

router = APIRouter(prefix="/health", tags=["health"])


class WorkCounts(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    waiting: int
    running: int
    dead: int
    oldest: float


@router.get("/work")
async def work(session: Reader) -> dict[str, WorkCounts]:
    """What is not done, by table; `oldest` is for how many seconds something could have begun."""
    return {
        table: WorkCounts.model_validate(await queue.counts(session, kind.model))
        for table, kind in KINDS.items()
    }
