from argparse import ArgumentTypeError

import pytest

from app.errors import NotFoundError
from app.settings import Settings
from app.terminal import moment, table, transaction, whole_number


@pytest.mark.parametrize("text", ["0", "-1", "101", "1e1", "", "²", "9" * 5000])
def test_what_is_no_number_of_the_range_is_said_so(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no whole number from 1 to 100"):
        whole_number(1, 100)(text)


@pytest.mark.parametrize("text", ["1", "100", "007"])
def test_numbers_of_the_range_are_taken(text: str) -> None:
    assert whole_number(1, 100)(text) == int(text)


def test_columns_stand_below_each_other() -> None:
    assert table([("id", "name"), ("17", ""), ("4", "ann")]) == ["id  name", "17", "4   ann"]
    assert moment(None) == ""


async def test_what_is_not_there_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(SystemExit, match=r"^There is no such thing\.$"):
        async with transaction(settings):
            raise NotFoundError("There is no such thing.")
