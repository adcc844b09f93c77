from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import delete

from app.db import Database
from app.jobs.waking import Bell
from app.outbox.models import OutboxMessage
from app.outbox.targets import targets_of
from app.settings import Settings
from tests.jobs.working import running
from tests.outbox.sending import SECRETS, url_of
from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def outbox_settings(settings: Settings, receiver: Receiver) -> Settings:
    """With the receiver as a target that may be inside, and as one that may not. Workers look often."""
    outside = {"url": url_of(receiver), "secrets": SECRETS}
    n8n = outside | {"allow_private": True, "headers": {"X-Key": "swordfish"}}
    targets = targets_of({"n8n": n8n, "outside": outside})
    return settings.model_copy(update={"outbox_targets": targets, "worker_poll": 0.05})


@pytest.fixture
async def bell(outbox_settings: Settings) -> AsyncIterator[Bell]:
    """Its database's sessions know the settings. No message is left to the next test."""
    database = Database(outbox_settings)
    bell = Bell(outbox_settings, database)
    yield bell
    async with database.transactions.begin() as session:
        await session.execute(delete(OutboxMessage))
    await bell.close()
    await database.close()


@pytest.fixture
def database(bell: Bell) -> Database:
    return bell.database


@pytest.fixture
async def working(outbox_settings: Settings, bell: Bell) -> AsyncIterator[None]:
    """A worker is there from the beginning to the end of the test."""
    async with running(outbox_settings, bell):
        yield
