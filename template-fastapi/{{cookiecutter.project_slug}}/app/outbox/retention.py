from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs import queue
from app.jobs.registry import every
from app.jobs.service import enqueue
from app.outbox.models import OutboxMessage
from app.settings import Settings


@every("57 3 * * *", name="outbox.purge")
async def purge(session: AsyncSession) -> None:
    """Delete what left long ago, some at a time. What is dead stays until somebody has looked at it."""
    settings: Settings = session.info["settings"]
    before = now() - timedelta(days=settings.outbox_retention_days)
    if await queue.purge(session, OutboxMessage, before=before) == queue.PURGE_AT_ONCE:
        await enqueue(session, purge)
