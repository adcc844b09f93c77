from argparse import ArgumentTypeError

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.errors import NotFoundError
from app.settings import Settings
from app.terminal import moment, table, transaction, whole_number


@pytest.mark.parametrize("given", ["0", "-1", "101", "1e1", "", "²", "1000", "9" * 5000])
def test_what_is_no_number_of_the_range_is_said_so(given: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no whole number from 1 to 100"):
        whole_number(1, 100)(given)


@pytest.mark.parametrize("given", ["1", "100", "007"])
def test_numbers_of_the_range_are_taken(given: str) -> None:
    assert whole_number(1, 100)(given) == int(given)


def test_columns_stand_below_each_other() -> None:
    assert table([("id", "name"), ("17", ""), ("4", "ann")]) == ["id  name", "17", "4   ann"]
    assert moment(None) == ""


async def test_what_is_not_there_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(SystemExit, match=r"^There is no such thing\.$"):
        async with transaction(settings):
            raise NotFoundError("There is no such thing.")


@pytest.mark.parametrize("missing", ["SELECT 1 FROM things", "SELECT thing FROM alembic_version"])
async def test_what_migrations_would_make_is_missed_in_one_sentence(
    settings: Settings, missing: str
) -> None:
    with pytest.raises(SystemExit, match=r"^Run `just migrate` first: .*thing.*$"):
        async with transaction(settings) as session:
            await session.execute(text(missing))
    with pytest.raises(DBAPIError):
        async with transaction(settings) as session:
            await session.execute(text("SELECT FROM FROM"))
