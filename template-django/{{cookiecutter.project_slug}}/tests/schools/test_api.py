from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.schools.models import Grade, Membership, Role, SchoolClass, Student
from apps.users.models import User
from tests.schools.conftest import Place
from tests.schools.factories import make_student
from tests.users.factories import make_user

KINDS = ("schools", "classes", "students", "terms", "grades", "reports")
WRITABLE = KINDS[1:-1]


def row_of(place: Place, kind: str) -> Any:
    return {
        "schools": place.school,
        "classes": place.school_class,
        "students": place.student,
        "terms": place.term,
        "grades": place.grade,
        "reports": place.report,
    }[kind]


def body_of(place: Place, kind: str) -> dict[str, Any]:
    """What creates a row of the place's school."""
    return {
        "classes": {"school": place.school.pk, "name": "6c"},
        "students": {
            "school": place.school.pk,
            "school_class": place.school_class.pk,
            "number": "N-1",
            "first_name": "Bea",
            "last_name": "Ray",
        },
        "terms": {
            "school": place.school.pk,
            "name": "Next",
            "starts": "2026-02-01",
            "ends": "2026-06-30",
        },
        "grades": {
            "student": place.student.pk,
            "term": place.term.pk,
            "subject": "Chess",
            "mark": "77.5",
        },
    }[kind]


def places_of(response: Any) -> list[list[Any]]:
    """Where a refused body is wrong."""
    assert response.status_code == 422, response.content
    return [error["location"] for error in response.json()["errors"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_holds_the_own_school_only(
    teacher_api: APIClient, ours: Place, theirs: Place, kind: str
) -> None:
    page = teacher_api.get(f"/api/{kind}").json()
    assert [row["id"] for row in page["items"]] == [row_of(ours, kind).pk]
    assert page["next_cursor"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_another_schools_id_is_not_found(
    head_api: APIClient, ours: Place, theirs: Place, kind: str
) -> None:
    mine, foreign = (f"/api/{kind}/{row_of(place, kind).pk}" for place in (ours, theirs))
    assert head_api.get(mine).status_code == 200
    assert head_api.get(foreign).status_code == 404
    if kind in WRITABLE:
        assert head_api.patch(foreign, {"name": "x"}).status_code == 404
        assert head_api.put(foreign, body_of(ours, kind)).status_code == 404
        assert head_api.delete(foreign).status_code == 404
    row_of(theirs, kind).refresh_from_db()


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_row_is_created_changed_and_deleted(head_api: APIClient, ours: Place, kind: str) -> None:
    created = head_api.post(f"/api/{kind}", body_of(ours, kind))
    assert created.status_code == 201, created.content
    url = f"/api/{kind}/{created.json()['id']}"
    assert head_api.get(url).json() == created.json()

    field = {"students": "last_name", "grades": "subject"}.get(kind, "name")
    changed = head_api.patch(url, {field: "Changed"})
    assert changed.json() == created.json() | {field: "Changed"}
    assert head_api.delete(url).status_code == 204
    assert head_api.get(url).status_code == 404


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("classes", "school"),
        ("students", "school"),
        ("students", "school_class"),
        ("terms", "school"),
        ("grades", "student"),
        ("grades", "term"),
    ],
)
def test_another_schools_id_in_a_body_is_refused_as_an_unknown_one_is(
    head_api: APIClient, ours: Place, theirs: Place, kind: str, field: str
) -> None:
    foreign = {
        "school": theirs.school,
        "school_class": theirs.school_class,
        "student": theirs.student,
        "term": theirs.term,
    }[field].pk
    answers = [head_api.post(f"/api/{kind}", body_of(ours, kind) | {field: foreign})]
    if field != "school":
        answers.append(head_api.patch(f"/api/{kind}/{row_of(ours, kind).pk}", {field: foreign}))
    unknown = head_api.post(f"/api/{kind}", body_of(ours, kind) | {field: 999_999})

    for refused in answers:
        assert places_of(refused) == [["body", field]]
        message = refused.json()["errors"][0]["message"]
        assert message.replace(str(foreign), "999999") == unknown.json()["errors"][0]["message"]


@pytest.mark.parametrize("kind", ["classes", "students", "terms"])
def test_a_row_stays_in_its_school(
    head_api: APIClient, ours: Place, theirs: Place, kind: str
) -> None:
    url = f"/api/{kind}/{row_of(ours, kind).pk}"
    Membership.objects.create(school=theirs.school, user=ours.head, role=Role.HEAD)
    assert head_api.patch(url, {"school": theirs.school.pk}).json()["school"] == ours.school.pk


def test_who_belongs_to_two_schools_cannot_mix_them(
    teacher_api: APIClient, ours: Place, theirs: Place
) -> None:
    Membership.objects.create(school=theirs.school, user=ours.teacher)
    student = body_of(ours, "students") | {"school_class": theirs.school_class.pk}
    grade = body_of(ours, "grades") | {"term": theirs.term.pk}
    assert places_of(teacher_api.post("/api/students", student)) == [["body", "school_class"]]
    assert places_of(teacher_api.post("/api/grades", grade)) == [["body", "term"]]


def test_a_head_who_teaches_elsewhere_is_no_head_there(
    head_api: APIClient, ours: Place, theirs: Place
) -> None:
    Membership.objects.create(school=theirs.school, user=ours.head, role=Role.TEACHER)
    url = f"/api/classes/{theirs.school_class.pk}"
    assert head_api.get(url).status_code == 200
    assert head_api.patch(url, {"name": "x"}).status_code == 404
    assert head_api.delete(url).status_code == 404
    student = f"/api/students/{theirs.student.pk}"
    assert head_api.delete(student).status_code == 404
    assert head_api.patch(student, {"first_name": "x"}).status_code == 200
    assert places_of(head_api.post("/api/classes", body_of(theirs, "classes"))) == [
        ["body", "school"]
    ]


def test_teachers_may_do_what_they_may_in_the_admin(teacher_api: APIClient, ours: Place) -> None:
    assert teacher_api.post("/api/students", body_of(ours, "students")).status_code == 201
    assert teacher_api.post("/api/classes", body_of(ours, "classes")).status_code == 403
    assert teacher_api.patch(f"/api/terms/{ours.term.pk}", {"name": "x"}).status_code == 403
    assert teacher_api.delete(f"/api/students/{ours.student.pk}").status_code == 403
    assert teacher_api.post("/api/schools", {"name": "x"}).status_code == 403
    assert teacher_api.post("/api/reports", {}).status_code == 403


def test_without_a_school_there_is_nothing_to_see(api: APIClient, ours: Place) -> None:
    assert api.get("/api/students").status_code == 401
    api.force_authenticate(make_user("stranger"))
    assert api.get("/api/students").status_code == 403


def test_superusers_see_every_school(
    api: APIClient, administrator: User, ours: Place, theirs: Place
) -> None:
    api.force_authenticate(administrator)
    assert len(api.get("/api/students").json()["items"]) == 2
    moved = api.patch(f"/api/classes/{theirs.school_class.pk}", {"name": "9z"})
    assert moved.status_code == 200


def test_a_grade_is_given_by_who_sends_it(
    teacher_api: APIClient, ours: Place, theirs: Place
) -> None:
    forged = body_of(ours, "grades") | {"teacher": theirs.teacher.pk}
    created = teacher_api.post("/api/grades", forged)
    assert created.json()["teacher"] == ours.teacher.pk
    assert created.json()["mark"] == "77.5"
    assert Grade.objects.get(subject="Chess").teacher == ours.teacher


@pytest.mark.parametrize(
    ("kind", "values", "place"),
    [
        ("students", {"guardian_email": "x"}, ["body", "guardian_email"]),
        ("students", {"birth_date": "2999-01-01"}, ["body", "birth_date"]),
        ("students", {"last_name": " "}, ["body", "last_name"]),
        ("terms", {"ends": "2026-02-01"}, ["body"]),
        ("grades", {"mark": "100.5"}, ["body", "mark"]),
        ("grades", {"mark": "-1"}, ["body", "mark"]),
        ("grades", {"mark": "NaN"}, ["body", "mark"]),
    ],
)
def test_bad_values_are_refused_with_their_place(
    head_api: APIClient, ours: Place, kind: str, values: dict[str, str], place: list[str]
) -> None:
    assert places_of(head_api.post(f"/api/{kind}", body_of(ours, kind) | values)) == [place]


def test_what_must_be_unique_is_refused_when_created_and_when_changed(
    head_api: APIClient, ours: Place
) -> None:
    other = make_student(ours.school)
    taken = {"number": ours.student.number}
    for refused in (
        head_api.post("/api/students", body_of(ours, "students") | taken),
        head_api.patch(f"/api/students/{other.pk}", taken),
    ):
        assert places_of(refused) == [["body"]]
        assert "already has a student with this number" in refused.json()["errors"][0]["message"]
    assert head_api.patch(f"/api/students/{other.pk}", {"number": other.number}).status_code == 200


def test_a_class_with_students_is_not_deleted(head_api: APIClient, ours: Place) -> None:
    refused = head_api.delete(f"/api/classes/{ours.school_class.pk}")
    assert refused.status_code == 422
    assert refused.json()["detail"] == "It has students, which would be lost."
    assert SchoolClass.objects.exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "ourson"}, ["Ourson"]),
        ({"q": "nobody"}, []),
        ({"number": "N-2"}, ["Zed"]),
        ({"sort": "-last_name"}, ["Zed", "Ourson"]),
        ({"sort": "last_name"}, ["Ourson", "Zed"]),
    ],
)
def test_filters_search_and_order_do_what_they_say(
    teacher_api: APIClient, ours: Place, query: dict[str, str], found: list[str]
) -> None:
    make_student(ours.school, last_name="Zed", number="N-2")
    items = teacher_api.get("/api/students", query).json()["items"]
    assert [row["last_name"] for row in items] == found


def test_a_filter_by_class_finds_its_students_and_refuses_another_schools(
    teacher_api: APIClient, ours: Place, theirs: Place
) -> None:
    make_student(ours.school)
    query = {"school_class": ours.school_class.pk}
    items = teacher_api.get("/api/students", query).json()["items"]
    assert [row["id"] for row in items] == [ours.student.pk]
    for foreign in (
        {"school_class": theirs.school_class.pk},
        {"school_class": 999_999},
        {"school": theirs.school.pk},
    ):
        answer = teacher_api.get("/api/students", foreign)
        assert answer.status_code == 422


def test_pages_together_show_every_student_once(teacher_api: APIClient, ours: Place) -> None:
    for _ in range(4):
        make_student(ours.school, last_name="Same")
    seen: list[int] = []
    query: dict[str, Any] = {"sort": "last_name", "limit": 2}
    while True:
        page = teacher_api.get("/api/students", query).json()
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted(ours.school.students.values_list("pk", flat=True))


@pytest.mark.parametrize("kind", ["students", "grades"])
def test_a_list_takes_the_same_queries_for_one_row_and_for_thirty(
    teacher_api: APIClient, ours: Place, kind: str
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert teacher_api.get(f"/api/{kind}").status_code == 200
        return len(captured)

    # The first request also reads the permissions.
    queries()
    few = queries()
    students = Student.objects.bulk_create(
        Student(school=ours.school, number=f"N-{number}") for number in range(30)
    )
    Grade.objects.bulk_create(
        Grade(student=student, term=ours.term, subject="Chess", mark=1) for student in students
    )
    assert queries() == few
