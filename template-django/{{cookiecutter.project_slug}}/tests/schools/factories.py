"""Rows for tests: what a test does not name gets a value that is valid and its own."""

from datetime import date
from itertools import count
from typing import Any

from django.contrib.auth import get_user_model

from apps.schools.models import Grade, Membership, Role, School, SchoolClass, Student, Term
from apps.users.models import User

numbers = count(1)


def make_user(login: str = "", **values: Any) -> User:
    login = login or f"person{next(numbers)}@example.com"
    user = get_user_model()(**{User.USERNAME_FIELD: login}, **values)
    user.set_unusable_password()
    user.save()
    return user


def make_school(**values: Any) -> School:
    return School.objects.create(**{"name": f"School {next(numbers)}"} | values)


def make_member(school: School, role: Role = Role.TEACHER, login: str = "") -> User:
    """A person of the school; the membership brings the admin and its permissions."""
    user = make_user(login)
    Membership.objects.create(school=school, user=user, role=role)
    user.refresh_from_db()
    return user


def make_class(school: School | None = None, **values: Any) -> SchoolClass:
    return SchoolClass.objects.create(
        **{"school": school or make_school(), "name": f"Class {next(numbers)}"} | values
    )


def make_student(school: School | None = None, **values: Any) -> Student:
    number = next(numbers)
    if school is None:
        school_class = values.get("school_class")
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
