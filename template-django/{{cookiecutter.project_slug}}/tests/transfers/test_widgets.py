from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied

from apps.transfers.scope import Scope
from apps.transfers.widgets import DateWidget, DecimalWidget, RowWidget, TextWidget
from apps.users.models import User


@pytest.mark.parametrize(
    ("widget", "cell", "value"),
    [
        (DateWidget(), "2010-05-31", date(2010, 5, 31)),
        (DateWidget(), "31.05.2010", date(2010, 5, 31)),
        (DateWidget(), "", None),
        (DecimalWidget(), "-5.5", Decimal("-5.5")),
        (DecimalWidget(), "5,5", Decimal("5.5")),
        (DecimalWidget(), "", None),
    ],
)
def test_cells_become_values(widget: Any, cell: str, value: object) -> None:
    assert widget.clean(cell) == value
    assert widget.render(value) == value


@pytest.mark.parametrize(
    ("widget", "cell", "sentence"),
    [
        (DateWidget(), "05/31/2010", "“05/31/2010” is no date: write it like 2010-05-31."),
        (DateWidget(), "2010-02-30", "“2010-02-30” is no date: write it like 2010-05-31."),
        (DecimalWidget(), "many", "“many” is no number."),
        (DecimalWidget(), "NaN", "“NaN” is no number."),
        (DecimalWidget(), "1,000,000", "“1,000,000” is no number."),
    ],
)
def test_a_bad_cell_is_refused_in_a_sentence(widget: Any, cell: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^“") as caught:
        widget.clean(cell)
    assert str(caught.value) == sentence


def test_nothing_is_an_empty_text() -> None:
    assert TextWidget().render(None) == ""


@pytest.mark.django_db
def test_a_row_is_found_by_its_name_among_those_that_may_be_chosen() -> None:
    ours, theirs = Group.objects.create(name="Ours"), Group.objects.create(name="Theirs")
    widget = RowWidget(Group, "name", {"pk": "number"})
    widget.find_rows = lambda: Group.objects.exclude(name="Theirs")

    assert widget.clean("Ours", {"number": str(ours.pk)}) == ours
    assert widget.clean("", {}) is None
    assert widget.render(ours) == "Ours"
    assert widget.render(None) == ""
    for name, number in (("Theirs", theirs.pk), ("Ours", theirs.pk)):
        with pytest.raises(ValueError, match=f"There is no group “{name}”."):
            widget.clean(name, {"number": str(number)})


@pytest.mark.django_db
def test_a_form_s_choices_are_the_choices_of_a_column(administrator: User) -> None:
    choices = Scope(administrator).choices(User, "groups")

    assert choices is not None
    assert choices.model is Group
    assert Scope(administrator).choices(User, "first_name") is None


def test_somebody_who_did_not_log_in_imports_nothing() -> None:
    with pytest.raises(PermissionDenied):
        Scope(AnonymousUser()).user_id  # noqa: B018 - to read it is to ask
