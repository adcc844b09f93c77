from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]  # untyped package
    pass


class ScheduleForm(PeriodicTaskForm):  # type: ignore[misc]  # untyped package
    """The fields that the package declares itself do not get the theme's widgets otherwise."""

    class Meta(PeriodicTaskForm.Meta):  # type: ignore[misc]  # untyped package
        pass

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskSelect()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
