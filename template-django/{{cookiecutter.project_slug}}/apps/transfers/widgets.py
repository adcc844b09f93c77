"""How the cells of a column become values, and values cells. Cells come in as text."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet
from import_export.widgets import Widget


class TextWidget(Widget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> str:
        return value

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return "" if value is None else str(value)


class NativeWidget(Widget):
    """Numbers and dates stay what they are, and a workbook shows them as such."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return value


class DateWidget(NativeWidget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> date | None:
        if not value:
            return None
        for form in ("%Y-%m-%d", "%d.%m.%Y"):
            try:
                return datetime.strptime(value, form).date()  # noqa: DTZ007 - a day, nowhere's
            except ValueError:
                continue
        raise ValueError(f"“{value}” is no date: write it like 2010-05-31.")


class DecimalWidget(NativeWidget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> Decimal | None:
        if not value:
            return None
        try:
            number = Decimal(value.replace(",", ".", 1))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise ValueError(f"“{value}” is no number.")
        return number


class YesNoWidget(NativeWidget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> bool:
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if value.lower() not in known:
            raise ValueError(f"“{value}” is neither TRUE nor FALSE.")
        return known[value.lower()]


class RowWidget(Widget):
    """A row of another table, given by its name, among those that the user may choose.

    `within` says by which fields the other table is divided, and which columns name the part:
    {"school__name": "school"}.
    """

    # Set by the resource, which knows the user.
    find_rows: Callable[[], QuerySet[Any]]

    def __init__(self, model: type[Model], field: str, within: dict[str, str] | None = None):
        super().__init__()
        self.model = model
        self.field = field
        self.within = within or {}
        self.found: dict[tuple[str, ...], Model | None] = {}

    def clean(self, value: str, row: Any = None, **kwargs: Any) -> Any:
        if not value:
            return None
        lookups = {field: row[column] for field, column in self.within.items()}
        lookups[self.field] = value
        key = tuple(lookups.values())
        if key not in self.found:
            self.found[key] = self.rows.filter(**lookups).first()
        if self.found[key] is None:
            raise ValueError(f"There is no {self.model._meta.verbose_name} “{value}”.")
        return self.found[key]

    @cached_property
    def rows(self) -> QuerySet[Any]:
        return self.find_rows()

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return "" if value is None else str(getattr(value, self.field))
