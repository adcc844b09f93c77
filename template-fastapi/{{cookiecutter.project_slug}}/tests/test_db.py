import asyncio
{% if cookiecutter.database == "postgresql" %}
import re
{% endif %}
from collections.abc import AsyncIterator
{% if cookiecutter.database == "sqlite" %}
from pathlib import Path
from typing import Any
{% endif %}

import pytest
from httpx2 import AsyncClient
{% if cookiecutter.database == "sqlite" %}
from pydantic import SecretStr
{% endif %}
from sqlalchemy import delete, func, select, text
{% if cookiecutter.database == "sqlite" %}
from sqlalchemy.exc import IntegrityError
{% else %}
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
{% endif %}

from app.db import {{ "Database, Reader, Session, now" if cookiecutter.database == "sqlite" else "Reader, Session, now, one_line" }}
from app.errors import NotFoundError
from app.idempotency import IdempotencyKey
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of


@pytest.fixture
async def committing(settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client whose requests write rows and commit for real."""
    app = create_app(settings)

    @app.post("/rows/{number}")
    async def write(number: int, session: Session) -> None:
        row = IdempotencyKey(
            fingerprint=bytes([number]), body_hash=b"", answer="", expires_at=now()
        )
        session.add(row)
        await session.flush()
        if number == 13:
            raise NotFoundError("There is no thirteenth row.")

    @app.get("/rows")
    async def count(session: Reader) -> int:
        return await session.scalar(select(func.count()).select_from(IdempotencyKey)) or 0

    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client
        async with app.state.database.transactions() as session, session.begin():
            await session.execute(delete(IdempotencyKey))


async def test_what_a_request_wrote_is_there_for_the_next(committing: AsyncClient) -> None:
    assert (await committing.post("/rows/1")).status_code == 200
    assert (await committing.post("/rows/2")).status_code == 200

    assert (await committing.get("/rows")).json() == 2


async def test_a_refused_request_leaves_nothing_behind(committing: AsyncClient) -> None:
    assert (await committing.post("/rows/13")).status_code == 404

    assert (await committing.get("/rows")).json() == 0


async def test_reading_waits_for_no_writer(settings: Settings) -> None:
    app = create_app(settings)
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    @app.post("/slow")
    async def slow(session: Session) -> None:
        entered.release()
        await session.connection()
        await leave.wait()

    async with app.router.lifespan_context(app), client_of(app) as client:
        writers = [asyncio.create_task(client.post("/slow")) for _ in range(15)]
        for _ in writers:
            await entered.acquire()
        ready = (await client.get("/health/ready")).status_code
        leave.set()
        await asyncio.gather(*writers)

    assert ready == 200


{% if cookiecutter.database == "sqlite" %}
async def test_a_commit_that_failed_keeps_no_lock(settings: Settings, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'any.db'}"
    database = Database(settings.model_copy(update={"database_url": SecretStr(url)}))
    try:
        async with database.transactions.begin() as session:
            await session.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
            late = "REFERENCES parents DEFERRABLE INITIALLY DEFERRED"
            await session.execute(text(f"CREATE TABLE children (parent INTEGER {late})"))
        with pytest.raises(IntegrityError):
            async with database.transactions.begin() as session:
                await session.execute(text("INSERT INTO children VALUES (1)"))

        async with database.engine.connect() as connection:
            raw: Any = await connection.get_raw_connection()
            assert not raw.driver_connection.in_transaction
    finally:
        await database.close()


{% else %}
@pytest.mark.parametrize("number", [":told", "CAST(:told AS text)"])
async def test_a_value_that_is_refused_is_not_in_its_one_line(
    session: AsyncSession, number: str
) -> None:
    with pytest.raises(DBAPIError) as refused:
        async with session.begin_nested():
            await session.execute(text(f"SELECT 1 + CAST({number} AS integer)"), {"told": "a lot"})

    assert "a lot" in str(refused.value).splitlines()[0]
    assert re.fullmatch(
        r"A value in a statement was refused \(\w+Error\)\.", one_line(refused.value)
    )


{% endif %}
async def test_a_request_that_fails_leaves_the_connection_usable(committing: AsyncClient) -> None:
    for _ in range(2):
        # The second one breaks the primary key.
        response = await committing.post("/rows/1")
    assert response.status_code == 500

    assert (await committing.get("/rows")).json() == 1
