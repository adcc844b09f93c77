from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import delete

from app.db import Database
from app.idempotency import IdempotencyKey
from app.jobs.models import Job
from app.main import create_app
from app.settings import Settings
from app.webhooks import handlers
from app.webhooks.models import WebhookEvent
from app.webhooks.sources import TYPES, sources_of
from tests.conftest import client_of
from tests.webhooks.sending import SECRET, TokenSource, TypelessSource


@pytest.fixture(scope="session")
def webhook_settings(settings: Settings) -> Settings:
    """With a source of each type, named after it, and those of sending.py."""
    sources = sources_of({kind: {"type": kind, "secrets": [SECRET]} for kind in TYPES})
    sources["shop"] = TokenSource(type="token", secrets=(SECRET,))
    sources["typeless"] = TypelessSource(type="token", secrets=(SECRET,))
    sources["silent"] = TokenSource(type="token", secrets=("",))
    return settings.model_copy(update={"webhook_sources": sources})


@pytest.fixture(scope="session")
async def app(webhook_settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(webhook_settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def database(app: FastAPI) -> AsyncIterator[Database]:
    """What it commits is there for others; no event is left to the next test."""
    database: Database = app.state.database
    yield database
    async with database.transactions.begin() as session:
        for model in (WebhookEvent, Job, IdempotencyKey):
            await session.execute(delete(model))


@pytest.fixture
async def sender(app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    """Has nothing but signatures."""
    async with client_of(app) as client:
        yield client


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """Those of the project are none of these tests' business, and theirs are unknown to the next."""
    before = dict(handlers.HANDLERS)
    handlers.HANDLERS.clear()
    yield
    handlers.HANDLERS.clear()
    handlers.HANDLERS.update(before)
