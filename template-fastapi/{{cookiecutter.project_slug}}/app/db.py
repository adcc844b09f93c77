import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request
from sqlalchemy import Connection, DateTime, Dialect, Engine, MetaData, Table, TypeDecorator, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from app.errors import DatabaseUnavailableError
from app.settings import Settings


class Base(DeclarativeBase):
    __table__: ClassVar[Table]

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time. SQLite keeps no time zone, so both databases are given and give back UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value if value.tzinfo else value.replace(tzinfo=UTC))

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # PostgreSQL's driver gives UTC already: a call less for each value.
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


def now() -> datetime:
    return datetime.now(UTC)


def create_engine(settings: Settings, *, only_reads: bool = False) -> AsyncEngine:
    options: dict[str, Any] = {"echo": settings.debug, "hide_parameters": not settings.debug}
    if settings.database.get_backend_name() == "sqlite":
        if only_reads:
            options |= {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
        else:
            # SQLite has one writer: the next one comes when this one is done, without asking for it.
            options |= {"pool_size": 1, "max_overflow": 0}
            options |= {"pool_timeout": settings.database_pool_timeout}
            # That is what end_transaction does.
            options |= {"pool_reset_on_return": None}
        engine = create_async_engine(settings.database, **options)
        prepare_sqlite(engine.sync_engine, only_reads=only_reads)
    else:
        engine = create_async_engine(
            settings.database,
            # Connections beyond the pool would be closed after each use, when there is most to do.
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_pool_timeout,
            pool_recycle=1800,
            **options,
        )

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(
        dialect: Dialect, _: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
    ) -> DBAPIConnection:
        # Drivers raise whatever they like here: OSError, TimeoutError, errors of their own.
        try:
            return dialect.connect(*arguments, **options)
        except Exception as error:
            raise DatabaseUnavailableError("The database does not answer.") from error

    return engine


def prepare_sqlite(engine: Engine, *, only_reads: bool) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not open transactions on its own: begin_immediate does.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()

    if only_reads:
        return

    @event.listens_for(engine, "reset")
    def end_transaction(
        connection: DBAPIConnection, _: ConnectionPoolEntry, state: PoolResetState
    ) -> None:
        # A commit that failed may have left one. To end what has ended is a way to another thread.
        if not state.terminate_only and connection.driver_connection.in_transaction:
            connection.rollback()

    @event.listens_for(engine, "begin")
    def begin_immediate(connection: Connection) -> None:
        # Taking the write lock at the start makes writers wait for each other (busy_timeout);
        # a transaction that reads first and writes later would fail with "database is locked".
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")


async def why_unreachable(settings: Settings) -> str | None:
    """One line that says why the database does not answer, or None when it does."""
    engine = create_engine(settings)
    try:
        async with asyncio.timeout(5), engine.connect():
            return None
    except DatabaseUnavailableError as error:
        return one_line(error.__cause__ or error)
    except (SQLAlchemyError, TimeoutError) as error:
        return one_line(error)
    finally:
        await engine.dispose()


def one_line(error: BaseException) -> str:
{% if cookiecutter.database == "postgresql" %}
    """The first line, unless it quotes a value: PostgreSQL and its driver do when one is refused."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__
        if isinstance(cause, ValueError) or str(getattr(cause, "sqlstate", "")).startswith("22"):
            return f"A value in a statement was refused ({type(cause).__name__})."
{% endif %}
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def lacks_migrations(error: DBAPIError) -> bool:
    """Whether there is no such table or column."""
{% if cookiecutter.database == "postgresql" %}
    if getattr(error.orig, "sqlstate", None) in ("42P01", "42703"):
        return True
{% endif %}
    return str(error.orig).startswith(("no such table", "no such column"))


class Database:
    """The connections and the ways to use them; lives from start-up to shutdown."""

    def __init__(self, settings: Settings) -> None:
        self.engine = self.reading = create_engine(settings)
        # Each statement is a transaction of its own.
        statements = reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        if settings.database.get_backend_name() == "sqlite":
            # Writers that wait for each other must not keep readers from a connection.
            self.reading = reading = create_engine(settings, only_reads=True)
        self.transactions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.statements = async_sessionmaker(statements, expire_on_commit=False)
        self.readers = async_sessionmaker(reading, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()
        await self.reading.dispose()


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.database.transactions() as session:
        yield session
        await session.commit()


async def get_reader(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.database.readers() as session:
        yield session


# scope="function": the commit happens before the response leaves, so a failed commit is a 500
# and never a 201 for something that was not kept.
Session = Annotated[AsyncSession, Depends(get_session, scope="function")]

# For reading: no BEGIN and COMMIT around it, and on SQLite no wait for writers.
# Do not write with it: each statement would be a transaction of its own.
Reader = Annotated[AsyncSession, Depends(get_reader, scope="function")]
