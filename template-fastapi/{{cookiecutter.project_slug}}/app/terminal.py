"""What commands share: a transaction of their own, numbers as arguments, and tables to print."""

import argparse
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database, lacks_migrations, one_line
from app.errors import DomainError
from app.settings import Settings


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncSession]:
    """Raises SystemExit with the sentence of a domain error, or when migrations are pending."""
    database = Database(settings)
    try:
        async with database.transactions.begin() as session:
            yield session
    except DomainError as error:
        raise SystemExit(str(error)) from None
    except DBAPIError as error:
        if not lacks_migrations(error):
            raise
        raise SystemExit(f"Run `just migrate` first: {one_line(error)}") from None
    finally:
        await database.close()


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A type of argparse."""

    def parse(text: str) -> int:
        short = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        if short and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")

    return parse


row_number = whole_number(1, 2**63 - 1)


def table(lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines with their columns below each other; the first one is the heading."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""
