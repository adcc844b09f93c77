from typing import Any

from django.dispatch import receiver
from simple_history import register

from apps.history.records import Records, history_of
from apps.schools.models import Grade, Membership, School, SchoolClass, Student, Term
from apps.schools.signals import students_moved

# Reports are made from the others.
for model in (School, Membership, SchoolClass, Student, Term, Grade):
    register(model, records_class=Records)


@receiver(students_moved)
def keep_versions(students: list[Student], **_: Any) -> None:
    history_of(Student).bulk_history_create(students, batch_size=500, update=True)
