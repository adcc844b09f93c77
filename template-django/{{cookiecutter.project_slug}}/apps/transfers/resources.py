"""What the apps' resources.py derive from: the table of one model, as one user may use it."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any, ClassVar, Final

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.utils.module_loading import autodiscover_modules
from import_export.fields import Field
from import_export.resources import ModelResource
from import_export.results import RowResult

from apps.core.errors import UnprocessableError
from apps.core.signals import rows_written
from apps.transfers.scope import Scope
from apps.transfers.tables import Table, is_formula, restore
from apps.transfers.widgets import RowWidget

BATCH: Final = 500
# In one statement, which grows with the square of it.
UPDATED_AT_ONCE: Final = 100
PREVIEWED: Final = 50
REPORTED: Final = 200
MOVED: Final = "The rows changed while they were imported: upload the file once more."

# Rows done, rows in all.
Advance = Callable[[int, int], None]
Row = dict[str, str]
Key = tuple[Any, ...]


class TransferResource(ModelResource):
    """Finds, reads and changes only rows that its user may see.

    `check` validates every row and writes nothing; then `write` writes all of them or none.
    """

    # Columns that a file must have besides those of import_id_fields.
    required: ClassVar[Sequence[str]] = ()
    # Fields that are written although they are no column.
    written: ClassVar[Sequence[str]] = ()
    # For select_related.
    related: ClassVar[Sequence[str]] = ()

    class Meta:
        clean_model_instances = True
        # The rows are collected by `save_instance`, and compared by `skip_row`.
        use_bulk = True
        skip_diff = True
        store_instance = True

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope
        self.created: list[Any] = []
        # By the names of the fields that change.
        self.updated: dict[tuple[str, ...], list[Any]] = {}
        self.unchanged = 0
        self.errors: list[dict[str, Any]] = []
        self.preview: list[dict[str, Any]] = []
        self.seen: dict[Key, int] = {}
        # The row that is being checked: its number, what it changes, and the values before.
        self.number = 0
        self.existing: Any = None
        self.before: list[Any] = []
        for field in self.fields.values():
            if isinstance(field.widget, RowWidget):
                field.widget.find_rows = partial(self.choices, field)

    def choices(self, field: Field) -> QuerySet[Any]:
        """The rows of another table that a column may name: those that the form offers."""
        rows = None if field.readonly else self.scope.choices(self.model, field.attribute)
        return self.scope.rows(field.widget.model) if rows is None else rows

    @property
    def model(self) -> type[Model]:
        model: type[Model] = self._meta.model
        return model

    def get_queryset(self) -> QuerySet[Any]:
        return self.scope.rows(self.model).select_related(*self.related)

    def filter_export(self, queryset: QuerySet[Any], **kwargs: Any) -> QuerySet[Any]:
        return queryset.select_related(*self.related)

    # The columns

    def key_fields(self) -> list[Field]:
        return [self.fields[name] for name in self.get_import_id_fields()]

    def value_fields(self) -> list[Field]:
        keys = self.key_fields()
        return [field for field in self.get_import_fields() if field not in keys]

    def column_names(self) -> list[str]:
        return [field.column_name for field in self.get_import_fields()]

    def required_columns(self) -> list[str]:
        return [*(field.column_name for field in self.key_fields()), *self.required]

    def ignored_columns(self) -> list[str]:
        """A file may have them, as an export does; they change nothing."""
        return [field.column_name for field in self.get_import_fields() if field.readonly]

    def columns_of(self, table: Table) -> list[str]:
        """The file's columns by the names we know; raises UnprocessableError when they differ."""
        known = {plain(name): name for name in self.column_names()}
        names = [known.get(plain(column), column) for column in table.columns]
        wrong = {
            "missing": [name for name in self.required_columns() if name not in names],
            "unknown": [name for name in names if name not in known.values()],
            "there twice": sorted({name for name in names if names.count(name) > 1}),
        }
        problems = [f"{what}: {', '.join(found)}" for what, found in wrong.items() if found]
        if problems:
            raise UnprocessableError(
                f"The columns do not fit ({'; '.join(problems)})."
                f" Use these: {', '.join(known.values())}."
            )
        return names

    # Checking

    def check(self, table: Table, advance: Advance) -> None:
        """Fill `created`, `updated`, `unchanged`, `preview` and `errors`."""
        columns = self.columns_of(table)
        for start in range(0, len(table.rows), BATCH):
            advance(start, len(table.rows))
            self.check_batch(columns, table.rows[start : start + BATCH])
        advance(len(table.rows), len(table.rows))
        self.errors.sort(key=itemgetter("row"))

    def check_batch(self, columns: list[str], rows: list[tuple[int, list[str]]]) -> None:
        prepared: dict[int, tuple[Row, Key]] = {}
        for self.number, cells in rows:
            try:
                row = self.row_of(columns, cells)
                prepared[self.number] = (row, self.key_of(row))
            except ValidationError as error:
                self.refuse(error)
        existing = self.find([key for _, key in prepared.values()])
        for self.number, (row, key) in prepared.items():
            self.existing = existing.get(key)
            self.take(self.import_row(row, None, row_number=self.number))

    def row_of(self, columns: list[str], cells: list[str]) -> Row:
        if len(cells) > len(columns):
            raise ValidationError(f"The row has {len(cells)} cells, not {len(columns)}.")
        attributes = {field.column_name: field.attribute for field in self.fields.values()}
        row = dict.fromkeys(columns, "")
        for column, cell in zip(columns, cells, strict=False):
            if is_formula(cell):
                sentence = "A formula is not imported: enter the value itself."
                raise ValidationError({attributes[column]: sentence})
            row[column] = restore(cell)
        return row

    def key_of(self, row: Row) -> Key:
        """The values by which the row is found; raises ValidationError."""
        key: list[Any] = []
        for field in self.key_fields():
            try:
                value = field.clean(row)
            except ValueError as error:
                raise ValidationError({field.attribute: str(error)}) from error
            if not value:
                raise ValidationError({field.attribute: "This cell must not be empty."})
            key.append(value)
        first = self.seen.setdefault(tuple(key), self.number)
        if first != self.number:
            raise ValidationError(f"Row {first} is about the same {self.model._meta.verbose_name}.")
        return tuple(key)

    def find(self, keys: list[Key]) -> dict[Key, Any]:
        """The rows that exist, among those that the user sees."""
        attributes = [field.attribute for field in self.key_fields()]
        values = {
            f"{name}__in": {key[place] for key in keys} for place, name in enumerate(attributes)
        }
        rows = self.get_queryset().filter(**values)
        return {tuple(getattr(row, name) for name in attributes): row for row in rows}

    def get_instance(self, instance_loader: Any, row: Row) -> Any:
        return self.existing

    def after_init_instance(self, instance: Any, new: bool, row: Row, **kwargs: Any) -> None:
        self.before = [field.get_value(instance) for field in self.value_fields()]

    def skip_row(self, instance: Any, original: Any, row: Row, errors: Any = None) -> bool:
        return bool(self.existing and not errors and not self.changes_of(instance))

    def changes_of(self, instance: Any) -> tuple[str, ...]:
        return tuple(
            field.attribute
            for field, before in zip(self.value_fields(), self.before, strict=True)
            if field.get_value(instance) != before
        )

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """As Model.full_clean, which would look up once more each row that was just found."""
        errors: dict[str, Any] = dict(import_validation_errors or {})
        found = [f.attribute for f in self.fields.values() if isinstance(f.widget, RowWidget)]
        steps: tuple[Callable[[set[str]], None], ...] = (
            lambda refused: instance.clean_fields(exclude={*refused, *found}),
            lambda refused: instance.clean(),
            lambda refused: instance.validate_unique(exclude=refused),
            lambda refused: instance.validate_constraints(exclude=refused),
        )
        for step in steps:
            try:
                step(set(errors))
            except ValidationError as error:
                errors = error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def save_instance(self, instance: Any, is_create: bool, row: Row, **kwargs: Any) -> None:
        self.before_save_instance(instance, row, **kwargs)
        if is_create:
            self.created.append(instance)
            return
        if not self.scope.may_change(instance):
            raise ValidationError("You may not change this row.")
        fields = (*self.changes_of(instance), *self.written)
        self.updated.setdefault(fields, []).append(instance)

    def take(self, result: RowResult) -> None:
        for error in result.errors:
            # Not the file's fault: what is refused raises ValidationError.
            raise error.error
        if result.validation_error:
            self.refuse(result.validation_error)
        elif result.is_skip():
            self.unchanged += 1
        elif len(self.preview) < PREVIEWED:
            before = dict(zip(self.value_fields(), self.before, strict=True))
            cells = []
            for field in self.get_import_fields():
                new = shown(field.export(result.instance))
                old = shown(field.widget.render(before[field])) if field in before else new
                cells.append([old, new])
            self.preview.append({"row": self.number, "new": result.is_new(), "cells": cells})

    def refuse(self, error: ValidationError) -> None:
        columns = {field.attribute: field.column_name for field in self.fields.values()}
        whole_row = {"": error.messages}
        by_field = error.message_dict if hasattr(error, "error_dict") else whole_row
        self.errors += [
            {"row": self.number, "column": columns.get(attribute, ""), "message": message}
            for attribute, messages in by_field.items()
            for message in messages
        ]

    # Writing

    @property
    def changed(self) -> list[Any]:
        return [row for rows in self.updated.values() for row in rows]

    def write(self, reason: str) -> None:
        """Write what `check` found; raises UnprocessableError and writes nothing when the rows
        are not what they were, or not the user's any more."""
        rows: Any = self.model._base_manager
        try:
            with transaction.atomic():
                rows.bulk_create(self.created, batch_size=BATCH)
                for fields, some in self.updated.items():
                    rows.bulk_update(some, fields, batch_size=UPDATED_AT_ONCE)
                if not self.sees([*self.created, *self.changed]):
                    raise UnprocessableError(MOVED)
                rows_written.send(
                    sender=self.model,
                    created=self.created,
                    updated=self.changed,
                    user=self.scope.user,
                    reason=reason,
                )
                log(self.scope, self.created, ADDITION, reason)
                log(self.scope, self.changed, CHANGE, reason)
        except IntegrityError as error:
            raise UnprocessableError(MOVED) from error

    def sees(self, rows: list[Any]) -> bool:
        """Whether they are all there, and where the user sees them."""
        mine = self.scope.rows(self.model).values("pk").distinct()
        seen = sum(
            mine.filter(pk__in=[row.pk for row in rows[start : start + BATCH]]).count()
            for start in range(0, len(rows), BATCH)
        )
        return seen == len(rows)


def plain(name: str) -> str:
    """Column names are compared by their letters and digits, small or capital."""
    return "".join(sign for sign in name if sign.isalnum()).casefold()


def shown(value: Any) -> str:
    return "" if value is None else str(value)


def log(scope: Scope, rows: list[Any], flag: int, reason: str) -> None:
    """The admin's own log, as if each row had been changed in its form."""
    if rows:
        LogEntry.objects.log_actions(scope.user_id, rows, flag, reason)


registered: dict[type[Model], type[TransferResource]] = {}


def register(resource: type[TransferResource]) -> type[TransferResource]:
    """Class decorator: the admin of the resource's model offers what the resource can."""
    registered[resource._meta.model] = resource
    return resource


def resource_of(model: type[Model]) -> type[TransferResource] | None:
    """The resource that the model's app registers in its resources.py."""
    discover()
    return registered.get(model)


@cache
def discover() -> None:
    autodiscover_modules("resources")
