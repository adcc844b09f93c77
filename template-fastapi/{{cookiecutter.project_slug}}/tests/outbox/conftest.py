from collections.abc import AsyncIterator

import pytest
from sqlalchemy import delete

from app.db import Database
from app.jobs.waking import Bell
from app.outbox.models import Delivery
from app.outbox.targets import targets_of
from app.settings import Settings
from tests.jobs.working import running
from tests.outbox.receiving import SECRETS, Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def sending(settings: Settings, receiver: Receiver) -> Settings:
    """With the receiver as a target that may be inside, and one that may not. Nobody waits long."""
    outside = {"url": receiver.url, "secrets": SECRETS, "timeout": 0.5}
    targets = targets_of({"n8n": outside | {"allow_private": True}, "outside": outside})
    return settings.model_copy(update={"outbox_targets": targets, "worker_poll": 0.05})


@pytest.fixture
async def database(sending: Settings) -> AsyncIterator[Database]:
    """Its sessions know the settings. No delivery is left to the next test."""
    database = Database(sending)
    bell = Bell(sending, database)
    yield database
    async with database.transactions.begin() as session:
        await session.execute(delete(Delivery))
    await bell.close()
    await database.close()


@pytest.fixture
async def working(sending: Settings, database: Database) -> AsyncIterator[None]:
    """A worker is there from the beginning to the end of the test."""
    bell = Bell(sending, database)
    async with running(sending, bell):
        yield
    await bell.close()
