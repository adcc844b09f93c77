from collections.abc import Iterable
from typing import Final

from django.db import transaction

from apps.core.errors import UnprocessableError
from apps.jobs.models import Job
from apps.jobs.task import enqueue
from apps.schools.models import SchoolClass, Student, Term
from apps.schools.signals import students_moved
from apps.schools.tasks import generate_reports
from apps.users.models import User

AT_ONCE: Final = 500  # rows in one statement


@transaction.atomic
def move_students(students: Iterable[Student], school_class: SchoolClass) -> int:
    """Put the students into the class and return how many were not in it before.

    Raises UnprocessableError when a student belongs to another school; then nobody moves.
    """
    moved = []
    for student in students:
        if student.school_id != school_class.school_id:
            raise UnprocessableError(f"{student} belongs to another school than {school_class}.")
        if student.school_class_id != school_class.pk:
            student.school_class = school_class
            moved.append(student)
    # Thousands in seconds, where each student's own save() would take a minute.
    for start in range(0, len(moved), AT_ONCE):
        pks = [student.pk for student in moved[start : start + AT_ONCE]]
        Student.objects.filter(pk__in=pks).update(school_class=school_class)
    students_moved.send(sender=Student, students=moved)
    return len(moved)


@transaction.atomic
def order_reports(classes: Iterable[SchoolClass], term: Term, user: User) -> list[Job]:
    """Have a worker print the reports of each class; the user gets a mail for each.

    Raises UnprocessableError when a class belongs to another school than the term.
    """
    jobs = []
    for school_class in classes:
        if school_class.school_id != term.school_id:
            raise UnprocessableError(f"{term} belongs to another school than {school_class}.")
        jobs.append(
            enqueue(
                generate_reports,
                school_class.pk,
                term.pk,
                user.pk,
                created_by=user,
                label=f"Reports of {school_class}, {term}",
            )
        )
    return jobs
