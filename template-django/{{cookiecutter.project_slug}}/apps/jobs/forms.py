import json
from typing import Any

from celery import current_app
from django_celery_beat.admin import PeriodicTaskForm


class ScheduleForm(PeriodicTaskForm):
    """Refuses arguments that the task does not take: it would fail each time, where nobody looks."""

    class Meta(PeriodicTaskForm.Meta):
        pass

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean()  # type: ignore[no-untyped-call]  # the package has no types
        if {"args", "kwargs"} <= data.keys() and data["task"] in current_app.tasks:
            positional, named = json.loads(data["args"]), json.loads(data["kwargs"])
            if not isinstance(positional, list):
                self.add_error("args", "Write a list: [1, 2].")
            elif not isinstance(named, dict):
                self.add_error("kwargs", 'Write names and values: {"name": 1}.')
            else:
                self._check_fit(data["task"], positional, named)
        return data

    def _check_fit(self, task: str, positional: list[Any], named: dict[str, Any]) -> None:
        check: Any = getattr(current_app.tasks[task], "__header__", None)
        try:
            if check:
                check(*positional, **named)
        except TypeError as error:
            self.add_error("args", f"The task does not take these arguments: {error}.")
