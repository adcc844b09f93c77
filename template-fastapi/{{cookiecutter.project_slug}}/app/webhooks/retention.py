from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs.registry import every
from app.jobs.service import enqueue
from app.settings import Settings
from app.webhooks import service


@every("43 3 * * *", name="webhooks.purge")
async def purge(session: AsyncSession) -> None:
    """Take old payloads away, some at a time."""
    settings: Settings = session.info["settings"]
    before = now() - timedelta(days=settings.webhook_retention_days)
    if await service.purge(session, before=before) == service.AT_ONCE:
        await enqueue(session, purge)
