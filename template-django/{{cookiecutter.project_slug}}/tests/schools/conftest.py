from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from apps.schools.models import Grade, Report, Role, School, SchoolClass, Student, Term
from apps.users.models import User
from tests.schools.factories import (
    make_class,
    make_grade,
    make_member,
    make_report,
    make_school,
    make_student,
    make_term,
)


@dataclass
class Place:
    """A school with one row of each kind."""

    school: School
    head: User
    teacher: User
    school_class: SchoolClass
    student: Student
    term: Term
    grade: Grade
    report: Report


def make_place(name: str) -> Place:
    school = make_school(name=f"{name} School")
    school_class = make_class(school, name=f"{name} 5b")
    student = make_student(school, school_class=school_class, last_name=f"{name}son")
    term = make_term(school, name=f"{name} term")
    return Place(
        school=school,
        head=make_member(school, Role.HEAD),
        teacher=make_member(school),
        school_class=school_class,
        student=student,
        term=term,
        grade=make_grade(student, term, subject=f"{name} studies"),
        report=make_report(student, term),
    )


@pytest.fixture(scope="module")
def places(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[Place, Place]]:
    """Two schools, made once for a file of tests: each test's own transaction is inside of it."""
    around = transaction.atomic()
    with django_db_blocker.unblock():
        around.__enter__()
        made = make_place("Our"), make_place("Other")
    yield made
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture
def ours(places: tuple[Place, Place], db: None) -> Place:
    return deepcopy(places[0])


@pytest.fixture
def theirs(places: tuple[Place, Place], db: None) -> Place:
    return deepcopy(places[1])


@pytest.fixture
def teacher(ours: Place, client: Client) -> Client:
    """The admin, as a teacher of our school sees it."""
    client.force_login(ours.teacher)
    return client


@pytest.fixture
def head(ours: Place) -> Client:
    """The admin, as the head of our school sees it."""
    client = Client()
    client.force_login(ours.head)
    return client


@pytest.fixture
def teacher_api(ours: Place) -> APIClient:
    client = APIClient()
    client.force_authenticate(ours.teacher)
    return client


@pytest.fixture
def head_api(ours: Place) -> APIClient:
    client = APIClient()
    client.force_authenticate(ours.head)
    return client
