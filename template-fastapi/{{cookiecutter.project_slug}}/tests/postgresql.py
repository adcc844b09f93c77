import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.embedded_postgresql import embedded_url


async def execute(server: URL, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@contextmanager
def new_postgresql_database(folder: Path) -> Iterator[str]:
    """The URL of a new database, dropped at the end: on the server that TEST_DATABASE_URL names,
    else on an embedded one that keeps its files in `folder`."""
    server = make_url(os.environ.get("TEST_DATABASE_URL") or embedded_url(folder))
    server = server.set(drivername="postgresql+asyncpg")
    name = f"test_{uuid4().hex}"
    asyncio.run(execute(server, f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))
