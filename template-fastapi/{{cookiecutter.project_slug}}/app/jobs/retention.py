from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs import queue
from app.jobs.models import Job
from app.jobs.registry import every
from app.jobs.service import enqueue
from app.settings import Settings


@every("17 3 * * *", name="jobs.purge")
async def purge(session: AsyncSession) -> None:
    """Delete what was finished long ago, some rows at a time. What is dead stays until somebody
    has looked at it."""
    settings: Settings = session.info["settings"]
    before = now() - timedelta(days=settings.job_retention_days)
    if await queue.purge(session, Job, before=before) == queue.PURGE_AT_ONCE:
        await enqueue(session, purge)
