from collections.abc import Iterable

from django.db import transaction

from apps.core.errors import UnprocessableError
from apps.jobs.models import Job
from apps.jobs.task import enqueue
from apps.schools.models import SchoolClass, Student, Term
from apps.schools.tasks import generate_reports
from apps.users.models import User


@transaction.atomic
def move_students(students: Iterable[Student], school_class: SchoolClass) -> int:
    """Put the students into the class and return how many were not in it before.

    Raises UnprocessableError when a student belongs to another school; then nobody moves.
    """
    moved = 0
    for student in students:
        if student.school_id != school_class.school_id:
            raise UnprocessableError(f"{student} belongs to another school than {school_class}.")
        if student.school_class_id != school_class.pk:
            student.school_class = school_class
            # One by one and not as one UPDATE: each change is a row of the history.
            student.save(update_fields=["school_class"])
            moved += 1
    return moved


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
