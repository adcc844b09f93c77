"""Rows for tests: what a test does not name gets a value that is valid and its own."""

from datetime import date
from itertools import count
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from apps.schools.models import (
    Grade,
    Membership,
    Report,
    Role,
    School,
    SchoolClass,
    Student,
    Term,
    report_path,
)
from apps.users.models import User
from tests.users.factories import make_user

PDF = b"%PDF-1.7 for tests"
numbers = count(1)


def make_school(**values: Any) -> School:
    return School.objects.create(**{"name": f"School {next(numbers)}"} | values)


def make_member(school: School, role: Role = Role.TEACHER, name: str = "") -> User:
    """A person of the school; the membership brings the admin and its permissions."""
    user = make_user(name or f"person{next(numbers)}")
    Membership.objects.create(school=school, user=user, role=role)
    return User.objects.get(pk=user.pk)


def make_class(school: School | None = None, **values: Any) -> SchoolClass:
    return SchoolClass.objects.create(
        **{"school": school or make_school(), "name": f"Class {next(numbers)}"} | values
    )


def make_student(school: School | None = None, **values: Any) -> Student:
    """With a class and no school it belongs to the school of the class."""
    number = next(numbers)
    school_class = values.get("school_class")
    if school is None:
        school = school_class.school if school_class else make_school()
    return Student.objects.create(
        **{
            "school": school,
            "number": f"S{number}",
            "first_name": "Ann",
            "last_name": f"Lee {number}",
            "birth_date": date(2014, 3, 9),
        }
        | values
    )


def make_term(school: School | None = None, **values: Any) -> Term:
    return Term.objects.create(
        **{
            "school": school or make_school(),
            "name": f"Term {next(numbers)}",
            "starts": date(2025, 9, 1),
            "ends": date(2026, 1, 31),
        }
        | values
    )


def make_grade(student: Student, term: Term | None = None, **values: Any) -> Grade:
    return Grade.objects.create(
        **{
            "student": student,
            "term": term or make_term(student.school),
            "subject": f"Subject {next(numbers)}",
            "mark": "80.0",
        }
        | values
    )


def make_report(student: Student, term: Term | None = None) -> Report:
    report = Report(student=student, term=term or make_term(student.school))
    report.created_at = timezone.now()
    report.file.name = storages["default"].save(report_path(report, ""), ContentFile(PDF))
    report.save()
    return report
