from typing import Any

from django.db.models import Model
from simple_history.models import HistoricalChanges, HistoricalRecords
from simple_history.utils import get_history_manager_for_model

# What the package gives to each version, as an abstract model. Migrations do not name those, so
# they still run when history, and the package with it, is taken out of the project.
Version = type(
    "Version",
    (Model,),
    {
        **{name: method for name, method in vars(HistoricalChanges).items() if callable(method)},
        "Meta": type("Meta", (), {"abstract": True}),
        "__module__": __name__,
    },
)


class Records(HistoricalRecords):
    """No version for what writes excluded fields only, such as a login its time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.bases = (Version,)
        self.m2m_bases = (Version,)

    def post_save(
        self, instance: Model, created: bool, using: str | None = None, **kw: Any
    ) -> None:
        written = kw.get("update_fields")
        if written is None or not written <= set(self.excluded_fields):
            super().post_save(instance, created, using, **kw)

    def create_historical_record_m2ms(self, history_instance: Any, instance: Model) -> None:
        # A new row has no others yet: nothing to ask for.
        if history_instance.history_type != "+":
            super().create_historical_record_m2ms(history_instance, instance)


def is_tracked(model: type[Model]) -> bool:
    return hasattr(model._meta, "simple_history_manager_attribute")


def history_of(model: type[Model]) -> Any:
    """The manager of the model's historical records."""
    return get_history_manager_for_model(model)


def on_rows_written(
    sender: type[Model],
    created: list[Model],
    updated: list[Model],
    user: Model,
    reason: str,
    **_: Any,
) -> None:
    """What is written in bulk has a history, too: who imported it, and from which file."""
    if is_tracked(sender):
        known = {"batch_size": 500, "default_user": user, "default_change_reason": reason[:100]}
        history = history_of(sender)
        history.bulk_history_create(created, **known)
        history.bulk_history_create(updated, update=True, **known)
