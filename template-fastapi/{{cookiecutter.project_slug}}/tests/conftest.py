import logging
import os
{% if cookiecutter.database == "postgresql" %}
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
{% else %}
from collections.abc import AsyncIterator, Callable, Iterator
{% endif %}

import pytest
import structlog
from alembic import command
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession{{ ", async_sessionmaker" if cookiecutter.auth != "none" else "" }}

from app.commands import alembic_config
from app.db import get_reader, get_session
from app.main import create_app
from app.settings import Settings
{% if cookiecutter.auth == "api_key" %}
from tests.api_keys.keys import authorised, overrides
{% endif %}
{% if cookiecutter.database == "postgresql" %}
from tests.postgresql import new_postgresql_database
{% endif %}
{% if cookiecutter.auth == "users" %}
from tests.users.people import authorised, overrides
{% endif %}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine() -> None:
    for name in list(os.environ):
        if name.upper().startswith("APP_"):
            del os.environ[name]


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Where a test's commands log to is closed with the test: nobody else may write there."""
    root = logging.getLogger()
    before, level = structlog.get_config(), root.level
    yield
    structlog.configure(**before)
    root.setLevel(level)
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
{% if cookiecutter.database == "postgresql" %}
def new_database() -> Iterator[Callable[[], str]]:
    """Makes an empty database and returns its URL; it is dropped at the end."""
    with ExitStack() as stack:
        folder = Path(__file__).parent.parent / ".postgresql"
        yield lambda: stack.enter_context(new_postgresql_database(folder))
{% else %}
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes an empty database and returns its URL."""
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('database')}/test.db"
{% endif %}


@pytest.fixture(scope="session")
def settings(new_database: Callable[[], str], no_settings_of_this_machine: None) -> Settings:
    """Settings for development, with a new and migrated database."""
    settings = Settings(
        _env_file=None,
        environment="development",
        allowed_hosts=["test"],
        cors_origins=["https://app.example.com"],
        secret_key=SecretStr("for tests only, and long enough for every kind of signature"),
        database_url=SecretStr(new_database()),
        log_level="warning",
        max_body_size=20_000,
{% if cookiecutter.jobs or cookiecutter.webhooks %}
        # Tests run what they enqueue themselves.
        embedded_worker=False,
{% endif %}
{% if cookiecutter.rate_limits %}
        # Far away: the tests of limits have their own.
        rate_limit="1000000/minute",
{% endif %}
{% if cookiecutter.auth == "users" %}
        public_url="https://app.example.com",
        signup="open",
        # As cheap as can be: these tests are about anything but the time of guessing.
        password_memory=8,
        password_passes=1,
{% endif %}
    )
    command.upgrade(alembic_config(settings), "head")
    return settings


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def session(app: FastAPI) -> AsyncIterator[AsyncSession]:
    """A session whose work is rolled back at the end of the test."""
    async with (
        app.state.database.engine.connect() as connection,
        connection.begin() as transaction,
        AsyncSession(
            connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        ) as session,
    ):
        yield session
        await session.close()
        await transaction.rollback()


@pytest.fixture
async def client(app: FastAPI, session: AsyncSession) -> AsyncIterator[AsyncClient]:
    """Sends requests to the application{{ ", as somebody who may" if cookiecutter.auth != "none" else "" }}; what they commit is a savepoint of the test's session."""

    async def get_test_session() -> AsyncIterator[AsyncSession]:
        async with session.begin_nested():
            yield session
        session.expire_all()

    app.dependency_overrides = {get_session: get_test_session, get_reader: get_test_session}
{% if cookiecutter.auth != "none" %}
    sessions = async_sessionmaker(
        await session.connection(),
        expire_on_commit=False,
        join_transaction_mode="create_savepoint",
    )
    app.dependency_overrides |= overrides(app, sessions)
{% endif %}
    async with client_of(app) as client:
{% if cookiecutter.auth != "none" %}
        client.headers.update(await authorised(app, session))
{% endif %}
        yield client
    app.dependency_overrides = {}


@pytest.fixture
async def committing(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client whose requests commit for real, in a database that tests share."""
    async with client_of(app) as client:
{% if cookiecutter.auth != "none" %}
        async with app.state.database.transactions.begin() as session:
            client.headers.update(await authorised(app, session))
{% endif %}
        yield client


def unreachable(settings: Settings) -> str:
    """The URL of something that is no database: a closed port, or a file with other contents."""
    if settings.database.get_backend_name() == "postgresql":
        return "postgresql://127.0.0.1:1/none"
    return f"sqlite:///{__file__}"


def client_of(app: FastAPI, *, raise_app_exceptions: bool = False) -> AsyncClient:
    transport = ASGITransport(app, raise_app_exceptions=raise_app_exceptions)
    return AsyncClient(transport=transport, base_url="http://test")
