import asyncio
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

import app.idempotency
import app.main
from app.db import Base, UtcDateTime, create_engine
from app.settings import Settings

# A table is known when the module that defines it is imported: app.main imports all domains.
MODULES = (app.main, app.idempotency)


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Migrations do not import the application, since they must run years later, and name types
    that both databases have, also where SQLite gave back what it keeps instead of them."""
    if isinstance(item, UtcDateTime | sa.DateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, sa.CHAR) and item.length == 32:
        return "sa.Uuid()"
    if isinstance(item, sa.LargeBinary):
        return "sa.LargeBinary()"
    return False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        # SQLite cannot alter most things: Alembic copies the table instead.
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    engine = create_engine(context.config.attributes.get("settings") or Settings())
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("SQL scripts (--sql) are not made here: give a database to migrate.")
asyncio.run(main())
