import asyncio
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import DropTableOp, MigrateOperation, MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

{% if cookiecutter.auth == "api_key" %}
import app.api_keys.models
{% endif %}
import app.idempotency
{% if cookiecutter.jobs or cookiecutter.webhooks %}
import app.jobs.models
{% endif %}
import app.main
{% if cookiecutter.outbox %}
import app.outbox.models
{% endif %}
from app.db import Base, UtcDateTime, create_engine
from app.settings import Settings

# A table is known when the module that defines it is imported: app.main imports all domains.
MODULES = (app.main, app.idempotency{{ ", app.api_keys.models" if cookiecutter.auth == "api_key" else "" }}{{ ", app.jobs.models" if cookiecutter.jobs or cookiecutter.webhooks else "" }}{{ ", app.outbox.models" if cookiecutter.outbox else "" }})


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


def drop_last(_: MigrationContext, __: object, scripts: list[MigrationScript]) -> None:
    """Alembic drops tables in the order of their names, before it changes others. But a table can
    be dropped only when no other one refers to it any more."""
    [upgrade] = scripts[0].upgrade_ops_list
    drops = [operation for operation in upgrade.ops if isinstance(operation, DropTableOp)]
    ordered: list[MigrateOperation] = [one for one in upgrade.ops if one not in drops]
    while drops:
        referred = {
            key.target_fullname.partition(".")[0]
            for drop in drops
            for key in drop.to_table().foreign_keys
            if key.target_fullname.partition(".")[0] != drop.table_name
        }
        # In a circle any one is as good, or bad, as the other.
        free = next((drop for drop in drops if drop.table_name not in referred), drops[0])
        drops.remove(free)
        ordered.append(free)
    upgrade.ops[:] = ordered
    scripts[0].downgrade_ops = upgrade.reverse()


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        process_revision_directives=drop_last,
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
