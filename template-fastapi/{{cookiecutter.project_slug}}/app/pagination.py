"""Cursor pagination: a page begins behind the last row of the one before it, so rows that come and
go in between are neither skipped nor shown twice, and the last page costs as much as the first."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy import Column, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import UnprocessableError

LARGEST = 2**63 - 1  # that a database takes
NOT_OURS = "The cursor is not one of ours: pass next_cursor of the page before, unchanged."


class Cursor(BaseModel):
    """Where a page ended: the value it was sorted by and the row's key, both as text."""

    sort: str
    value: str = Field(pattern=r"^[^\x00]*$")
    id: str = Field(pattern=r"^[^\x00]*$")

    @classmethod
    def decode(cls, text: str, *, sort: str) -> Self:
        try:
            cursor = cls.model_validate_json(urlsafe_b64decode(text.encode()))
        except (ValueError, ValidationError) as error:
            raise UnprocessableError(NOT_OURS) from error
        if cursor.sort != sort:
            raise UnprocessableError(
                "The cursor belongs to another sort order: begin again without it."
            )
        return cursor

    def encode(self) -> str:
        return urlsafe_b64encode(self.model_dump_json().encode()).decode()


def value_for(column: Column[Any], text: str) -> Any:
    try:
        value = TypeAdapter(column.type.python_type).validate_python(text)
        value = value.astimezone(UTC) if isinstance(value, datetime) else value
    except (ValidationError, OverflowError) as error:
        raise UnprocessableError(NOT_OURS) from error
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UnprocessableError(NOT_OURS)
    return value


async def fetch_page(
    session: AsyncSession,
    query: Select[Any],
    columns: Mapping[str, Column[Any]],
    key: Column[Any],
    *,
    sort: str,
    cursor: str | None,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """The rows that begin behind the cursor, ordered by `sort` (a name of `columns`, "-" in front:
    descending), and the cursor of the next page, if there is one.

    `columns` must not be nullable; `key` is unique and breaks ties; `query` selects them all.
    """
    column = columns[sort.removeprefix("-")]
    descending = sort.startswith("-")
    if cursor:
        after = Cursor.decode(cursor, sort=sort)
        values = (value_for(column, after.value), value_for(key, after.id))
        row, last = tuple_(column, key), tuple_(*values, types=[column.type, key.type])
        query = query.where(row < last if descending else row > last)
    order = (column.desc(), key.desc()) if descending else (column.asc(), key.asc())
    # One row more than the page holds: its presence says that there is another page.
    result = await session.execute(query.order_by(*order).limit(limit + 1))
    # Dictionaries, since a schema reads them twice as fast as rows; all() fetches them at once.
    names = tuple(result.keys())
    rows = [dict(zip(names, row, strict=True)) for row in result.all()]
    if len(rows) <= limit:
        return rows, None
    end = rows[limit - 1]
    next_cursor = Cursor(sort=sort, value=str(end[column.name]), id=str(end[key.name]))
    return rows[:limit], next_cursor.encode()
