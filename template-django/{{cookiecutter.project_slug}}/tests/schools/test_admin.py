import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin import RelatedOnlyFieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.core import deletion
from apps.jobs.models import Job
from apps.schools.models import (
    Grade,
    Membership,
    Report,
    Role,
    School,
    SchoolClass,
    Student,
    Term,
)
from apps.users.models import User
from tests.jobs.plugin import RunJobs
from tests.schools.conftest import Place
from tests.schools.factories import (
    make_class,
    make_school,
    make_student,
    numbers,
)
from tests.users.factories import make_user

KINDS = ("schoolclass", "student", "term", "grade", "report")
# Not "Other" alone: a page repeats what was searched for.
LEAK = re.compile("Other (5b|term|studies|School)|Otherson")
GRADES = "grades-TOTAL_FORMS"


def list_of(kind: str) -> str:
    return reverse(f"admin:schools_{kind}_changelist")


def add(kind: str) -> str:
    return reverse(f"admin:schools_{kind}_add")


def change(row: Model) -> str:
    return reverse(f"admin:schools_{row._meta.model_name}_change", args=[row.pk])


def delete(row: Model) -> str:
    return reverse(f"admin:schools_{row._meta.model_name}_delete", args=[row.pk])


def rows_of(place: Place) -> dict[str, Any]:
    return {
        "schoolclass": place.school_class,
        "student": place.student,
        "term": place.term,
        "grade": place.grade,
        "report": place.report,
    }


def errors_of(response: Any) -> dict[str, Any]:
    """Of a form that was shown again."""
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def run(client: Client, kind: str, action: str, *rows: Model, **values: Any) -> Any:
    chosen = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows]}
    return client.post(list_of(kind), chosen | values)


def student_form(place: Place, **values: Any) -> dict[str, Any]:
    return {
        "school": place.school.pk,
        "number": "N-1",
        "first_name": "Bea",
        "last_name": "Ray",
        "school_class": place.school_class.pk,
    } | values


def grade_rows(place: Place, **values: Any) -> dict[str, Any]:
    """The inline form of a student's one grade, and of a new one."""
    grade = place.grade
    return {
        "number": place.student.number,
        "first_name": "Ann",
        "last_name": place.student.last_name,
        "school_class": place.school_class.pk,
        GRADES: 2,
        "grades-INITIAL_FORMS": 1,
        "grades-0-id": grade.pk,
        "grades-0-student": place.student.pk,
        "grades-0-term": grade.term_id,
        "grades-0-subject": grade.subject,
        "grades-0-mark": "81.5",
        "grades-1-student": place.student.pk,
        "grades-1-term": grade.term_id,
        "grades-1-subject": "Chess",
        "grades-1-mark": "99",
    } | values


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_shows_the_own_school_only(
    teacher: Client, ours: Place, theirs: Place, kind: str
) -> None:
    page = teacher.get(list_of(kind)).content.decode()
    assert "Our" in page
    assert "Other" not in page


@pytest.mark.parametrize("kind", KINDS)
def test_another_schools_row_is_not_there(head: Client, theirs: Place, kind: str) -> None:
    row = rows_of(theirs)[kind]
    for url in (change(row), delete(row), reverse(f"admin:schools_{kind}_history", args=[row.pk])):
        for answer in (head.get(url), head.post(url, {"post": "yes"})):
            assert answer.status_code in (302, 403, 404)
            assert not LEAK.search(answer.content.decode())
    row.refresh_from_db()


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_or_filter_for_another_school_finds_nothing(
    head: Client, theirs: Place, kind: str
) -> None:
    queries = ["q=Other", f"id__exact={rows_of(theirs)[kind].pk}"]
    if kind in ("grade", "report"):
        queries.append(f"student__school_class__id__exact={theirs.school_class.pk}")
        queries.append(f"term__id__exact={theirs.term.pk}")
    if kind in ("student", "schoolclass", "term"):
        queries.append(f"school__id__exact={theirs.school.pk}")
    for query in queries:
        page = head.get(f"{list_of(kind)}?{query}", follow=True).content.decode()
        assert not LEAK.search(page)


def test_filters_offer_what_is_in_the_own_schools(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    Membership.objects.create(school=theirs.school, user=ours.teacher)
    page = teacher.get(list_of("grade")).content.decode()
    # With two schools there is something to choose from, and of a third one there is nothing.
    assert "Our 5b" in page
    assert "Other 5b" in page
    theirs.school.memberships.filter(user=ours.teacher).delete()
    for kind in ("grade", "report", "student"):
        assert "Other" not in teacher.get(list_of(kind)).content.decode()


@pytest.mark.parametrize("kind", ["student", "grade", "report"])
def test_a_filter_names_the_school_of_a_class_for_those_who_see_several(
    administrator: User, teacher: Client, ours: Place, theirs: Place, kind: str
) -> None:
    SchoolClass.objects.update(name="5b")
    Term.objects.update(name="2026")
    everywhere = Client()
    everywhere.force_login(administrator)

    def offered(browser: Client) -> set[str]:
        filters = browser.get(list_of(kind)).context["cl"].filter_specs
        rows = [
            one.lookup_choices for one in filters if isinstance(one, RelatedOnlyFieldListFilter)
        ]
        return {str(name) for choices in rows for _, name in choices}

    of_both = {"5b (Our School)", "5b (Other School)"}
    if kind != "student":
        of_both |= {"2026 (Our School)", "2026 (Other School)"}
    assert of_both <= offered(everywhere)
    assert not {"5b", "2026"} & offered(everywhere)
    assert not any("(Our School)" in name for name in offered(teacher))


def test_who_has_one_school_is_not_told_its_name_in_every_row(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    assert "school" not in teacher.get(list_of("student")).context["cl"].list_display
    Membership.objects.create(school=theirs.school, user=ours.teacher)
    assert "school" in teacher.get(list_of("student")).context["cl"].list_display


def test_pickers_offer_rows_of_the_own_school_only(
    head: Client, ours: Place, theirs: Place
) -> None:
    page = head.get(add("student")).content.decode()
    assert "Our 5b" in page
    assert "Other 5b" not in page
    assert "Other" not in head.get(change(ours.student)).content.decode()
    assert "Other" not in head.get(add("grade")).content.decode()


def test_autocomplete_finds_students_of_the_own_school_only(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    query = {"app_label": "schools", "model_name": "grade", "field_name": "student", "term": "son"}
    found = teacher.get(reverse("admin:autocomplete"), query).json()["results"]
    assert [row["id"] for row in found] == [str(ours.student.pk)]


def test_autocomplete_does_not_list_accounts(head: Client, ours: Place) -> None:
    query = {"app_label": "schools", "model_name": "membership", "field_name": "user", "term": "a"}
    assert head.get(reverse("admin:autocomplete"), query).status_code == 403


def test_a_teacher_adds_a_student_to_the_own_school(teacher: Client, ours: Place) -> None:
    page = teacher.get(add("student"))
    assert page.context["adminform"].form.initial["school"] == ours.school.pk

    assert teacher.post(add("student"), student_form(ours)).status_code == 302
    assert Student.objects.get(number="N-1").school == ours.school


@pytest.mark.parametrize("field", ["school", "school_class"])
def test_a_form_with_another_schools_id_is_refused(
    teacher: Client, ours: Place, theirs: Place, field: str
) -> None:
    foreign = {"school": theirs.school.pk, "school_class": theirs.school_class.pk}[field]
    errors = errors_of(teacher.post(add("student"), student_form(ours, **{field: foreign})))
    assert errors == {
        field: ["Select a valid choice. That choice is not one of the available choices."]
    }


def test_a_change_with_another_schools_id_is_refused(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    moved = student_form(ours, school=theirs.school.pk, number="moved")
    moved |= {GRADES: 0, "grades-INITIAL_FORMS": 0}
    assert teacher.post(change(ours.student), moved).status_code == 302
    ours.student.refresh_from_db()
    assert (ours.student.school, ours.student.number) == (ours.school, "moved")

    errors = errors_of(
        teacher.post(change(ours.student), moved | {"school_class": theirs.school_class.pk})
    )
    assert list(errors) == ["school_class"]


def test_somebody_in_two_schools_cannot_mix_them(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    Membership.objects.create(school=theirs.school, user=ours.teacher)
    page = teacher.get(add("student")).content.decode()
    assert "Our 5b (Our School)" in page
    assert "Other 5b (Other School)" in page

    mixed = student_form(ours, school_class=theirs.school_class.pk)
    errors = errors_of(teacher.post(add("student"), mixed))
    assert errors == {"school_class": ["This class belongs to another school."]}


def test_a_grade_is_its_teachers_and_stays_in_the_school(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    grade = {"student": ours.student.pk, "term": ours.term.pk, "subject": "Chess", "mark": "77.5"}
    assert teacher.post(add("grade"), grade).status_code == 302
    assert Grade.objects.get(subject="Chess").teacher == ours.teacher

    for foreign in ({"student": theirs.student.pk}, {"term": theirs.term.pk}):
        refused = teacher.post(add("grade"), grade | {"subject": "Go"} | foreign)
        assert list(errors_of(refused)) == list(foreign)
    assert list(
        errors_of(teacher.post(add("grade"), grade | {"subject": "Go", "mark": "100.5"}))
    ) == ["mark"]


def test_grades_are_given_on_the_students_page(teacher: Client, ours: Place) -> None:
    response = teacher.post(change(ours.student), grade_rows(ours))
    assert response.status_code == 302
    ours.grade.refresh_from_db()
    assert str(ours.grade.mark) == "81.5"
    assert ours.student.grades.get(subject="Chess").teacher == ours.teacher

    gone = grade_rows(ours, **{GRADES: 1, "grades-0-DELETE": "on"})
    assert teacher.post(change(ours.student), gone).status_code == 302
    assert not Grade.objects.filter(pk=ours.grade.pk).exists()


@pytest.mark.parametrize("field", ["grades-1-term", "grades-1-student"])
def test_inline_grades_take_no_other_schools_ids(
    teacher: Client, ours: Place, theirs: Place, field: str
) -> None:
    foreign = {"term": theirs.term.pk, "student": theirs.student.pk}
    form = grade_rows(ours, **{field: foreign[field.rpartition("-")[2]]})
    response = teacher.post(change(ours.student), form)

    assert response.status_code == 200
    assert any(response.context["inline_admin_formsets"][0].formset.errors)


def test_an_inline_form_changes_no_other_schools_grade(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    teacher.post(change(ours.student), grade_rows(ours, **{"grades-0-id": theirs.grade.pk}))
    kept = Grade.objects.get(pk=theirs.grade.pk)
    assert (kept.student, str(kept.mark)) == (theirs.student, "80.0")


def test_a_teacher_changes_no_classes_terms_schools_or_memberships(
    teacher: Client, ours: Place
) -> None:
    for row in (ours.school_class, ours.term, ours.school):
        assert teacher.get(change(row)).status_code == 200
        assert teacher.post(change(row), {"name": "x"}).status_code == 403
        assert teacher.post(delete(row), {"post": "yes"}).status_code == 403
    for kind in ("schoolclass", "term", "school", "report"):
        assert teacher.get(add(kind)).status_code == 403
    assert teacher.get(list_of("membership")).status_code == 403


def test_a_head_runs_the_own_school(head: Client, ours: Place) -> None:
    assert head.post(change(ours.school), {"name": "New name"}).status_code == 302
    assert (
        head.post(add("schoolclass"), {"school": ours.school.pk, "name": "6c"}).status_code == 302
    )
    term = {"school": ours.school.pk, "name": "T", "starts": "2026-02-01", "ends": "2026-01-01"}
    refused = head.post(add("term"), term)
    assert refused.context["adminform"].form.non_field_errors() == ["A term ends after it starts."]
    assert head.post(add("term"), term | {"ends": "2026-06-01"}).status_code == 302
    assert head.get(add("school")).status_code == 403
    assert head.post(delete(ours.report), {"post": "yes"}).status_code == 302
    assert not Report.objects.filter(pk=ours.report.pk).exists()


def test_the_page_of_a_large_class_lists_the_first_students_and_is_saved(
    head: Client, ours: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.schools.admin.MOST_INLINE", 2)
    for _ in range(3):
        make_student(ours.school, school_class=ours.school_class)
    page = head.get(change(ours.school_class))
    [students] = page.context["inline_admin_formsets"]
    listed = f"?school_class__id__exact={ours.school_class.pk}"

    assert len(students.formset.forms) == 2
    assert f'{listed}">4</a>' in page.text
    assert head.get(f"/admin/schools/student/{listed}").context["cl"].result_count == 4
    sent = {form.add_prefix("id"): form.instance.pk for form in students.formset.forms}
    sent |= {f"students-{name}_FORMS": number for name, number in (("TOTAL", 2), ("INITIAL", 2))}
    sent |= {"school": ours.school.pk, "name": "6b"}
    assert head.post(change(ours.school_class), sent).status_code == 302
    ours.school_class.refresh_from_db()
    assert ours.school_class.name == "6b"


def test_more_fields_than_django_takes_by_itself_are_saved(teacher: Client, ours: Place) -> None:
    form = grade_rows(ours, **{f"grades-{number}-more": "" for number in range(1_100)})

    assert teacher.post(change(ours.student), form).status_code == 302


def test_a_class_with_students_is_not_deleted(head: Client, ours: Place) -> None:
    assert head.post(delete(ours.school_class), {"post": "yes"}).status_code == 200
    assert SchoolClass.objects.filter(pk=ours.school_class.pk).exists()


@pytest.mark.slow
def test_a_head_who_teaches_elsewhere_is_no_head_there(
    head: Client, ours: Place, theirs: Place
) -> None:
    Membership.objects.create(school=theirs.school, user=ours.head, role=Role.TEACHER)
    membership = theirs.school.memberships.get(user=theirs.teacher)

    for row in (theirs.school, theirs.school_class, theirs.term, membership):
        assert head.get(change(row)).status_code == 200
        assert head.post(change(row), {"name": "x", "role": "head"}).status_code == 403
        assert head.post(delete(row), {"post": "yes"}).status_code == 403
    refused = head.post(add("schoolclass"), {"school": theirs.school.pk, "name": "9z"})
    assert list(errors_of(refused)) == ["school"]
    run(head, "membership", "delete_selected", membership, post="yes")
    membership.refresh_from_db()
    for kind in ("student", "report"):
        kept = rows_of(theirs)[kind]
        assert head.post(delete(kept), {"post": "yes"}).status_code == 403
        run(head, kind, "delete_selected", kept, post="yes")
        kept.refresh_from_db()
    assert head.get(delete(theirs.grade)).status_code == 200


def test_a_head_opens_the_own_school_to_a_person(head: Client, ours: Place, theirs: Place) -> None:
    person = make_user("newcomer")
    form = {"school": ours.school.pk, "person": person.get_username().upper(), "role": "teacher"}
    assert head.post(add("membership"), form).status_code == 302
    assert ours.school.memberships.get(user=person).role == Role.TEACHER

    for wrong, field in (
        (form, "person"),
        (form | {"person": "nobody@example.com"}, "person"),
        (form | {"person": theirs.head.get_username(), "school": theirs.school.pk}, "school"),
        (form | {"role": "owner"}, "role"),
    ):
        assert list(errors_of(head.post(add("membership"), wrong)))[:1] == [field]


def test_names_of_people_are_no_links_to_accounts(head: Client, ours: Place) -> None:
    ours.grade.teacher = ours.teacher
    ours.grade.save()
    membership = ours.school.memberships.get(user=ours.teacher)
    for row in (ours.student, ours.grade, membership):
        page = head.get(change(row)).content.decode()
        assert str(ours.teacher) in page
        assert reverse("admin:users_user_change", args=[ours.teacher.pk]) not in page


def test_a_head_cannot_rise(head: Client, ours: Place, theirs: Place) -> None:
    mine = ours.school.memberships.get(user=ours.head)
    assert head.post(change(mine), {"role": "teacher"}).status_code == 403
    assert head.post(delete(mine), {"post": "yes"}).status_code == 403

    other = ours.school.memberships.get(user=ours.teacher)
    tries = {"role": "head", "is_superuser": "on", "user": ours.head.pk, "school": theirs.school.pk}
    assert head.post(change(other), tries).status_code == 302
    other.refresh_from_db()
    assert (other.role, other.user, other.school) == (Role.HEAD, ours.teacher, ours.school)
    assert not User.objects.filter(is_superuser=True).exists()
    assert head.get(reverse("admin:users_user_changelist")).status_code == 403
    assert head.get(reverse("admin:auth_group_changelist")).status_code == 403


@pytest.mark.slow
def test_an_administrator_sees_and_changes_everything(
    client: Client, administrator: User, ours: Place, theirs: Place
) -> None:
    client.force_login(administrator)
    for kind in (*KINDS, "school"):
        page = client.get(list_of(kind)).content.decode()
        assert "Our" in page
        assert "Other" in page
    assert client.post(change(theirs.school), {"name": "Renamed"}).status_code == 302
    mine = Membership.objects.create(school=ours.school, user=administrator)
    assert client.post(change(mine), {"role": "head"}).status_code == 302
    assert client.post(add("school"), {"name": "Third"}).status_code == 302
    assert client.get(add("student")).context["adminform"].form.initial == {}


def test_students_move_to_another_class_after_a_confirmation(teacher: Client, ours: Place) -> None:
    other_class = make_class(ours.school)
    students = [ours.student, make_student(ours.school)]

    asked = run(teacher, "student", "move_to_class", *students)
    assert "Move these students" in asked.content.decode()
    assert not other_class.students.exists()

    again = run(teacher, "student", "move_to_class", *students, confirmed="yes")
    assert "This field is required." in again.content.decode()

    moved = run(
        teacher,
        "student",
        "move_to_class",
        *students,
        confirmed="yes",
        school_class=other_class.pk,
    )
    assert moved.status_code == 302
    assert set(other_class.students.all()) == set(students)


def test_another_schools_students_and_classes_do_not_move(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    values = {"confirmed": "yes", "school_class": ours.school_class.pk}
    run(teacher, "student", "move_to_class", theirs.student, **values)
    theirs.student.refresh_from_db()
    assert theirs.student.school_class == theirs.school_class

    values["school_class"] = theirs.school_class.pk
    refused = run(teacher, "student", "move_to_class", ours.student, **values)
    assert "Select a valid choice" in refused.content.decode()


def test_who_sees_two_schools_moves_nobody_between_them(
    client: Client, administrator: User, ours: Place, theirs: Place
) -> None:
    client.force_login(administrator)
    mixed = {"confirmed": "yes", "school_class": ours.school_class.pk}
    page = run(client, "student", "move_to_class", ours.student, theirs.student, **mixed)
    assert "belongs to another school" in page.content.decode()

    mixed = {"confirmed": "yes", "term": ours.term.pk}
    page = run(client, "schoolclass", "generate_reports", theirs.school_class, **mixed)
    assert "belongs to another school" in page.content.decode()
    assert not Job.objects.exists()


def test_a_confirmation_names_the_first_rows_and_counts_the_rest(
    teacher: Client, ours: Place
) -> None:
    students = [make_student(ours.school) for _ in range(23)]
    page = run(teacher, "student", "move_to_class", *students).content.decode()
    assert "and 3 more" in page
    assert page.count(f'name="{ACTION_CHECKBOX_NAME}"') == 23


def test_an_action_on_a_whole_list_sends_no_form_with_all_its_rows(
    teacher: Client, ours: Place, theirs: Place
) -> None:
    make_student(ours.school)
    other_class = make_class(ours.school)
    whole = {"select_across": "1"}
    page = run(teacher, "student", "move_to_class", ours.student, **whole).content.decode()
    assert page.count(f'name="{ACTION_CHECKBOX_NAME}"') == 1
    assert 'name="select_across" value="1"' in page

    whole |= {"confirmed": "yes", "school_class": str(other_class.pk)}
    run(teacher, "student", "move_to_class", ours.student, **whole)
    assert set(other_class.students.all()) == set(ours.school.students.all())
    assert not other_class.students.filter(pk=theirs.student.pk).exists()


def test_the_list_of_schools_counts_students_and_classes(head: Client, ours: Place) -> None:
    for _ in range(2):
        make_student(ours.school, school_class=make_class(ours.school))
    empty = make_school(name="Empty School")
    Membership.objects.create(school=empty, user=ours.head)

    rows = head.get(list_of("school")).context["cl"].queryset
    counts = {row.name: (row.students_count, row.classes_count) for row in rows}
    assert counts == {ours.school.name: (3, 3), "Empty School": (0, 0)}


def test_deleting_several_rows_leaves_other_schools_alone(
    head: Client, ours: Place, theirs: Place
) -> None:
    run(head, "student", "delete_selected", ours.student, theirs.student, post="yes")
    assert list(Student.objects.all()) == [theirs.student]


def test_what_goes_with_deleted_rows_is_counted(head: Client, ours: Place) -> None:
    page = run(head, "student", "delete_selected", ours.student).content.decode()
    assert "Delete 1 student?" in page
    assert "With them go 1 grade, 1 report." in page


def test_what_is_still_needed_is_named_and_not_deleted(head: Client, ours: Place) -> None:
    page = run(head, "schoolclass", "delete_selected", ours.school_class, post="yes")
    assert f"student {ours.student}" in page.content.decode()
    assert SchoolClass.objects.filter(pk=ours.school_class.pk).exists()


@pytest.mark.parametrize("limit", [0, 500])
def test_who_may_not_delete_each_of_the_rows_deletes_none(
    head: Client,
    ours: Place,
    theirs: Place,
    run_jobs: RunJobs,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    Membership.objects.create(school=theirs.school, user=ours.head)
    monkeypatch.setattr(deletion, "ROWS_IN_REQUEST", limit)
    rows = (ours.student, theirs.student)
    answer = run(head, "student", "delete_selected", *rows, post="yes")
    if limit:
        assert answer.status_code == 403
        page = run(head, "student", "delete_selected", *rows).content.decode()
        assert "you may not delete all of these: reports, students." in page
    else:
        (job,) = run_jobs()
        assert job.error == "You may not delete all of these reports, students."
    assert Student.objects.count() == 2


def test_reports_are_ordered_for_a_class_and_a_term(teacher: Client, ours: Place) -> None:
    asked = run(teacher, "schoolclass", "generate_reports", ours.school_class)
    assert "Our term" in asked.content.decode()
    assert not Job.objects.exists()

    values = {"confirmed": "yes", "term": ours.term.pk}
    ordered = run(teacher, "schoolclass", "generate_reports", ours.school_class, **values)
    job = Job.objects.get()
    assert ordered.headers["Location"] == reverse("admin:jobs_job_change", args=[job.pk])
    assert (job.created_by, job.label) == (ours.teacher, "Reports of Our 5b, Our term")
    assert teacher.get(ordered.headers["Location"]).status_code == 200


def test_each_of_several_classes_has_its_own_job(teacher: Client, ours: Place) -> None:
    classes = [ours.school_class, make_class(ours.school)]
    values = {"confirmed": "yes", "term": ours.term.pk}
    ordered = run(teacher, "schoolclass", "generate_reports", *classes, **values)
    assert ordered.headers["Location"] == reverse("admin:jobs_job_changelist")
    assert Job.objects.count() == 2


def test_reports_take_no_other_schools_ids(teacher: Client, ours: Place, theirs: Place) -> None:
    values = {"confirmed": "yes", "term": theirs.term.pk}
    page = run(teacher, "schoolclass", "generate_reports", ours.school_class, **values)
    assert "Select a valid choice" in page.content.decode()
    values = {"confirmed": "yes", "term": ours.term.pk}
    run(teacher, "schoolclass", "generate_reports", theirs.school_class, **values)
    assert not Job.objects.exists()


def test_actions_need_their_permissions(client: Client, ours: Place) -> None:
    ours.teacher.groups.clear()
    reader = ours.teacher
    reader.user_permissions.set(
        permission
        for group in ours.head.groups.all()
        for permission in group.permissions.filter(codename__startswith="view_")
    )
    client.force_login(reader)
    for kind, action, row in (
        ("student", "move_to_class", ours.student),
        ("schoolclass", "generate_reports", ours.school_class),
    ):
        assert action not in client.get(list_of(kind)).content.decode()
        run(client, kind, action, row, confirmed="yes", term=ours.term.pk)
    assert not Job.objects.exists()


def test_a_report_is_read_and_downloaded_and_never_edited(teacher: Client, ours: Place) -> None:
    page = teacher.get(change(ours.report)).content.decode()
    assert reverse("report", args=[ours.report.pk]) in page
    assert "/media/" not in page
    assert 'name="_save"' not in page


def add_rows(place: Place, count: int) -> None:
    """Rows of each kind, each with parents of its own; in bulk, since no test looks at them."""
    used = next(numbers)
    names = [f"{used}-{number}" for number in range(count)]
    school, now = place.school, timezone.now()
    classes = SchoolClass.objects.bulk_create(SchoolClass(school=school, name=n) for n in names)
    terms = Term.objects.bulk_create(
        Term(school=school, name=n, starts=place.term.starts, ends=place.term.ends) for n in names
    )
    users = User.objects.bulk_create(
        User(**{User.USERNAME_FIELD: f"{n}@example.com"}) for n in names
    )
    Membership.objects.bulk_create(Membership(school=school, user=user) for user in users)
    students = Student.objects.bulk_create(
        Student(school=school, number=n, last_name=n, school_class=c)
        for n, c in zip(names, classes, strict=True)
    )
    rows = list(zip(students, terms, users, strict=True))
    Grade.objects.bulk_create(
        Grade(student=student, term=term, subject="Chess", mark=1, teacher=user)
        for student, term, user in rows
    )
    Grade.objects.bulk_create(
        Grade(student=place.student, term=term, subject="Chess", mark=1, teacher=user)
        for _, term, user in rows
    )
    Student.objects.bulk_create(
        Student(school=school, number=f"{n}-x", last_name=n, school_class=place.school_class)
        for n in names
    )
    Report.objects.bulk_create(
        Report(student=student, term=term, file="x.pdf", created_at=now, created_by=user)
        for student, term, user in rows
    )


@pytest.mark.slow
def test_a_page_takes_the_same_queries_for_one_row_and_for_ten(head: Client, ours: Place) -> None:
    def queries() -> dict[str, int]:
        counts = {}
        for url in (
            *(list_of(kind) for kind in (*KINDS, "membership", "school")),
            change(ours.student),
            change(ours.school_class),
        ):
            with CaptureQueriesContext(connection) as captured:
                assert head.get(url).status_code == 200
            counts[url] = len(captured)
        return counts

    # Django keeps content types that it has looked up.
    ContentType.objects.get_for_models(*apps.get_models())
    add_rows(ours, 1)
    few = queries()
    add_rows(ours, 10)
    assert queries() == few


def test_every_model_of_the_example_is_in_the_admin() -> None:
    for model in (School, Membership, SchoolClass, Student, Term, Grade, Report):
        assert admin.site.is_registered(model)
