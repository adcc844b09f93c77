import io
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from apps.schools.models import Grade, Role, School, Student
from apps.transfers.models import State, Transfer
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
from tests.users.factories import make_user

pytestmark = pytest.mark.django_db

STUDENTS = "number,first name,last name,birth date,class,guardian e-mail\n"
GRADES = "student number,term,subject,mark,comment\n"


@pytest.fixture
def school() -> School:
    return make_school(name="Elm School")


@pytest.fixture
def teacher(school: School) -> User:
    return make_member(school, Role.TEACHER)


@pytest.fixture
def page(client: Client, teacher: User) -> Client:
    client.force_login(teacher)
    return client


def upload(client: Client, content: str | bytes, rows: str = "student") -> str:
    content = content.encode() if isinstance(content, str) else content
    address = reverse(f"admin:schools_{rows}_import")
    response = client.post(address, {"file": SimpleUploadedFile("rows.csv", content)})
    if response.status_code == 302:
        return response.headers["Location"]
    return str(response.context["form"].errors["file"][0])


def imported(client: Client, content: str | bytes, rows: str = "student") -> Transfer:
    client.post(upload(client, content, rows), {"_confirm": ""})
    return Transfer.objects.get()


def errors(transfer: Transfer) -> list[tuple[int | None, str, str]]:
    assert transfer.state == State.REFUSED
    return [(error["row"], error["column"], error["message"]) for error in transfer.errors]


def exported(client: Client, rows: str = "student", form: str = "csv") -> Any:
    return client.post(reverse(f"admin:schools_{rows}_export"), {"format": form})


def test_students_of_the_only_school_are_added_and_changed(page: Client, school: School) -> None:
    make_class(school, name="5b")
    old = make_student(school, number="1", last_name="Old")

    transfer = imported(
        page,
        "Number,First_name,last name,birth date,class,guardian email\n"
        "1,Ann,New,,5b,\n"
        "2,Ben,Oak,31.05.2010,5b,mum@example.com\n",
    )

    assert (transfer.state, transfer.created, transfer.updated) == (State.IMPORTED, 1, 1)
    old.refresh_from_db()
    assert old.last_name == "New"
    ben = Student.objects.get(number="2")
    assert (ben.school, str(ben.birth_date), str(ben.school_class)) == (school, "2010-05-31", "5b")


def test_what_a_file_has_no_column_for_stays_as_it_is(page: Client, school: School) -> None:
    student = make_student(school, number="1", guardian_email="mum@example.com")

    imported(page, "number,first name,last name\n1,Zoë,Elm\n")

    student.refresh_from_db()
    assert (student.first_name, student.guardian_email) == ("Zoë", "mum@example.com")


def test_each_bad_cell_is_named(page: Client, school: School) -> None:
    make_class(make_school(), name="9z")

    transfer = imported(
        page,
        STUDENTS + "1,Ann,Lee,yesterday,,\n"
        "2,Ben,Lee,,9z,\n"
        "3,Cid,Lee,,,mum\n"
        "4,,Lee,2999-01-01,,\n"
        "1,Ann,Lee,,,\n",
    )

    assert errors(transfer) == [
        (2, "birth date", "“yesterday” is no date: write it like 2010-05-31."),
        (3, "class", "There is no class “9z”."),
        (4, "guardian e-mail", "Enter a valid email address."),
        (5, "first name", "This field cannot be blank."),
        (5, "birth date", "The birth date lies in the future."),
        (6, "", "Row 2 is about the same student."),
    ]
    assert not Student.objects.exists()


def test_the_number_of_another_school_s_student_is_free_here(page: Client, school: School) -> None:
    other = make_student(number="77", last_name="Theirs")

    transfer = imported(page, STUDENTS + "77,Ann,Ours,,,\n")

    assert (transfer.created, transfer.updated) == (1, 0)
    other.refresh_from_db()
    assert other.last_name == "Theirs"
    assert Student.objects.get(last_name="Ours").school == school


def test_a_file_cannot_name_rows_by_their_id(page: Client, school: School) -> None:
    other = make_student(last_name="Theirs")

    sentence = upload(page, f"id,{STUDENTS}{other.pk},77,Ann,Ours,,,\n")

    assert "unknown: id" in sentence


def test_another_school_is_neither_named_nor_written_to(page: Client, school: School) -> None:
    other = make_school(name="Oak School")

    transfer = imported(page, "school,number,first name,last name\nOak School,1,Ann,Lee\n")

    assert errors(transfer) == [(2, "school", "There is no school “Oak School”.")]
    assert not other.students.exists()


def test_who_sees_several_schools_names_one_in_each_row(
    client: Client, administrator: User, school: School
) -> None:
    make_class(school, name="5b")
    theirs = make_class(make_school(name="Oak School"), name="5b")
    client.force_login(administrator)

    assert "missing: school" in upload(client, STUDENTS + "1,Ann,Lee,,5b,\n")
    imported(client, "school,number,first name,last name,class\nOak School,1,Ann,Lee,5b\n")

    assert Student.objects.get().school_class == theirs


def test_grades_are_found_by_student_term_and_subject(
    page: Client, school: School, teacher: User
) -> None:
    term = make_term(school, name="Autumn")
    student = make_student(school, number="1")
    make_student(number="1")
    old = make_grade(student, term, subject="Art", mark="50.0")

    transfer = imported(page, GRADES + '1,Autumn,Art,"77,5",better\n1,Autumn,Music,90,\n', "grade")

    assert (transfer.created, transfer.updated) == (1, 1)
    old.refresh_from_db()
    assert (str(old.mark), old.comment, old.teacher) == ("77.5", "better", teacher)
    assert Grade.objects.get(subject="Music").student == student


def test_bad_grades_are_named(page: Client, school: School) -> None:
    make_term(school, name="Autumn")
    make_student(school, number="1")
    make_grade(make_student(number="2"), make_term(name="Spring"), subject="Art")

    transfer = imported(
        page,
        GRADES + "1,Autumn,Art,good,\n"
        "1,Autumn,Maths,101,\n"
        "2,Autumn,Art,50,\n"
        "1,Spring,Art,50,\n"
        "1,Autumn,Music,,\n",
        "grade",
    )

    assert errors(transfer) == [
        (2, "mark", "“good” is no number."),
        (3, "mark", "Ensure this value is less than or equal to 100."),
        (4, "student number", "There is no student “2”."),
        (5, "term", "There is no term “Spring”."),
        (6, "mark", "This field cannot be null."),
    ]
    assert Grade.objects.count() == 1


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_export_has_the_rows_of_one_s_own_school_only(
    page: Client, school: School, form: str
) -> None:
    make_student(school, first_name="Ours", school_class=make_class(school))
    theirs = make_student(first_name="Theirs")

    content = exported(page, form=form).content
    if form == "xlsx":
        rows = load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True)
        content = str(list(rows)).encode()

    assert b"Ours" in content
    assert b"Theirs" not in content
    filtered = reverse("admin:schools_student_export") + f"?school__id__exact={theirs.school_id}"
    assert b"Theirs" not in page.post(filtered, {"format": "csv"}).content
    action = {"action": "export_csv", "_selected_action": [theirs.pk]}
    response = page.post(reverse("admin:schools_student_changelist"), action)
    assert b"Theirs" not in response.content


@pytest.mark.slow
def test_what_was_exported_can_be_imported(page: Client, school: School) -> None:
    term = make_term(school, name="=Autumn")
    student = make_student(
        school, first_name="=1+1", last_name="-Lee", school_class=make_class(school, name="@5b")
    )
    make_grade(student, term, subject="+Art", mark="7.5", comment="=a\n\tb")

    for rows in ("student", "grade"):
        transfer = imported(page, exported(page, rows).content, rows)
        assert (transfer.state, transfer.unchanged) == (State.IMPORTED, 1)
        transfer.delete()


def test_the_number_of_queries_of_an_export_does_not_grow(
    page: Client, school: School, django_assert_max_num_queries: Any
) -> None:
    term = make_term(school)
    for _ in range(5):
        make_grade(make_student(school), term)

    with django_assert_max_num_queries(15):
        exported(page, "grade")


def test_who_lost_the_school_imports_nothing(
    page: Client, teacher: User, settings: Any, run_jobs: RunJobs
) -> None:
    settings.TRANSFER_ROWS_IN_REQUEST = 0
    address = upload(page, STUDENTS + "1,Ann,Lee,,,\n")
    run_jobs()
    page.post(address, {"_confirm": ""})
    teacher.school_memberships.all().delete()

    run_jobs()

    assert errors(Transfer.objects.get()) == [(None, "", "You may not import these rows.")]
    assert not Student.objects.exists()


def test_rows_that_a_user_may_see_but_not_change_are_not_changed(
    client: Client, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(make_member(school, Role.HEAD))
    student = make_student(school, number="1", first_name="Ann")
    monkeypatch.setattr(
        "apps.schools.admin.StudentAdmin.is_within_role", lambda *args: args[2] is None
    )

    transfer = imported(client, "number,first name,last name\n1,Ben,Lee\n")

    assert transfer.state == State.REFUSED
    student.refresh_from_db()
    assert student.first_name == "Ann"


def test_people_of_no_school_import_nothing(client: Client) -> None:
    client.force_login(make_user("stranger", is_staff=True))

    assert client.get(reverse("admin:schools_student_import")).status_code == 403
