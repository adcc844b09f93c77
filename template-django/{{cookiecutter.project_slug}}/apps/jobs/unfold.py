from typing import Any

from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    pass


class ScheduleForm(PeriodicTaskForm):
    """The fields that the package declares itself do not get the theme's widgets otherwise."""

    class Meta(PeriodicTaskForm.Meta):
        pass

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskSelect()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
