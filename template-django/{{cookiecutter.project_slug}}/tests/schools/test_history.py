from datetime import date
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from apps.core import deletion
from apps.history.records import history_of
from apps.schools import demo
from apps.schools.models import Grade, Membership, Role, School, SchoolClass, Student, Term
from apps.users.models import User
from tests.jobs.plugin import RunJobs
from tests.schools.factories import (
    make_class,
    make_grade,
    make_member,
    make_school,
    make_student,
    make_term,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def school() -> School:
    return make_school()


@pytest.fixture
def head(school: School) -> User:
    return make_member(school, Role.HEAD)


@pytest.fixture
def page(client: Client, head: User) -> Client:
    client.force_login(head)
    return client


def make_rows(school: School) -> list[Model]:
    """One of each kind that has a history."""
    school_class = make_class(school)
    student = make_student(school, school_class=school_class)
    grade = make_grade(student)
    member = Membership.objects.create(school=school, user=make_member(make_school()))
    return [school, school_class, student, grade.term, grade, member]


def pages(model: type[Model], pk: Any) -> list[str]:
    """The history of a row, and its first version."""
    name = f"admin:schools_{model._meta.model_name}"
    first = history_of(model).filter(id=pk).earliest()
    return [
        reverse(f"{name}_history", args=[pk]),
        reverse(f"{name}_simple_history", args=[pk, first.pk]),
    ]


def fields_of(student: Student, **values: Any) -> dict[str, Any]:
    return {
        "school": student.school_id,
        "number": student.number,
        "first_name": student.first_name,
        "last_name": student.last_name,
        "grades-TOTAL_FORMS": 0,
        "grades-INITIAL_FORMS": 0,
    } | values


@pytest.mark.slow
def test_everything_that_people_enter_has_a_history(page: Client, school: School) -> None:
    rows = make_rows(school)

    assert {type(row) for row in rows} == {School, SchoolClass, Student, Term, Grade, Membership}
    for row in rows:
        for address in pages(type(row), row.pk):
            assert page.get(address).status_code == 200


def test_the_difference_names_fields_and_rows_not_numbers(
    page: Client, school: School, head: User
) -> None:
    student = make_student(school, first_name="Ann", school_class=make_class(school, name="Old5b"))
    new = make_class(school, name="New6b")
    address = reverse("admin:schools_student_change", args=[student.pk])

    page.post(address, fields_of(student, first_name="Zoë", school_class=new.pk))
    shown = page.get(pages(Student, student.pk)[0]).content.decode()

    for text in ("First name", "Ann", "Zoë", "Class", "Old5b", "New6b", str(head)):
        assert text in shown


def test_rows_of_another_school_have_no_history_here(page: Client) -> None:
    for row in make_rows(make_school()):
        for address in pages(type(row), row.pk):
            assert page.get(address).headers["Location"] == reverse("admin:index")
            assert page.post(address, {"name": "Stolen"}).status_code == 302


def test_deleted_rows_of_another_school_have_no_history_here(page: Client) -> None:
    theirs = make_student()
    address, version = pages(Student, theirs.pk)
    theirs.delete()

    assert page.get(address).headers["Location"] == reverse("admin:index")
    assert page.get(version).headers["Location"] == reverse("admin:index")
    assert page.post(version, fields_of(theirs)).status_code == 302
    assert not Student.objects.exists()


def test_a_version_of_another_school_s_row_is_not_reached_through_an_own_row(
    page: Client, school: School
) -> None:
    ours, theirs = make_student(school), make_student()
    version = history_of(Student).get(id=theirs.pk).pk

    address = reverse("admin:schools_student_simple_history", args=[ours.pk, version])

    assert page.get(address).headers["Location"] == reverse("admin:index")


def test_a_revert_brings_back_the_version(page: Client, school: School, head: User) -> None:
    student = make_student(school, first_name="Ann")
    Student.objects.get(pk=student.pk).save()
    student.first_name = "Zoë"
    student.save()
    version = pages(Student, student.pk)[1]

    assert 'value="Ann"' in page.get(version).content.decode()
    page.post(version, fields_of(student, first_name="Ann"))

    student.refresh_from_db()
    assert student.first_name == "Ann"
    assert history_of(Student).filter(id=student.pk).latest().history_user == head


def test_a_revert_does_not_take_a_class_of_another_school(page: Client, school: School) -> None:
    student = make_student(school)
    theirs = make_class(make_school())

    response = page.post(pages(Student, student.pk)[1], fields_of(student, school_class=theirs.pk))

    assert response.status_code == 200
    student.refresh_from_db()
    assert student.school_class is None


def test_a_deleted_row_of_one_s_own_school_comes_back(page: Client, school: School) -> None:
    student = make_student(school, first_name="Ann")
    pk = student.pk
    address, version = pages(Student, pk)
    student.delete()

    assert page.get(address).status_code == 200
    assert page.post(version, fields_of(student)).status_code == 302

    assert Student.objects.get(pk=pk).first_name == "Ann"


def test_a_version_whose_class_is_gone_says_so(page: Client, school: School) -> None:
    term = make_term(school)
    teacher = make_member(school)
    grade = make_grade(make_student(school), term, teacher=teacher)
    teacher.delete()
    version = pages(Grade, grade.pk)[1]

    fields = {"student": grade.student_id, "term": term.pk, "subject": "Art", "mark": "1"}
    response = page.post(version, fields, follow=True)

    assert "This version belongs to something that is gone." in response.content.decode()
    grade.refresh_from_db()
    assert grade.teacher is None


@pytest.mark.slow
def test_the_rows_of_the_demo_go_back_to_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STUDENTS_IN_A_CLASS", 1)
    demo.make_demo(date(2026, 11, 24))

    for model in (SchoolClass, Student, Term, Grade):
        assert history_of(model).count() == model._default_manager.count()


def test_rows_that_a_worker_deletes_have_a_last_version_of_who_asked(
    page: Client,
    head: User,
    school: School,
    run_jobs: RunJobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deletion, "ROWS_IN_REQUEST", 1)
    grade = make_grade(make_student(school))
    chosen = {"action": "delete_selected", ACTION_CHECKBOX_NAME: grade.student.pk, "post": "yes"}
    page.post(reverse("admin:schools_student_changelist"), chosen)
    (job,) = run_jobs()
    assert job.result == "Deleted: 1 student, 1 grade."
    for model in (Student, Grade):
        last = history_of(model).latest()
        assert (last.history_type, last.history_user) == ("-", head)


def test_students_who_move_together_have_a_version_each(
    page: Client, head: User, school: School, django_assert_max_num_queries: Any
) -> None:
    students = [make_student(school) for _ in range(30)]
    values = {"confirmed": "yes", "school_class": make_class(school).pk, "select_across": "1"}
    chosen = {"action": "move_to_class", ACTION_CHECKBOX_NAME: students[0].pk}
    with django_assert_max_num_queries(29):
        page.post(reverse("admin:schools_student_changelist"), chosen | values)
    for student in students:
        last = history_of(Student).filter(id=student.pk).latest()
        assert (last.history_type, last.history_user) == ("~", head)
        assert last.school_class_id == values["school_class"]
