from datetime import date, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from apps.schools.access import HEADS, TEACHERS
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
from apps.schools.scoping import schools_of
from apps.users.models import User
from tests.schools.conftest import Place
from tests.schools.factories import make_member, make_student
from tests.users.factories import make_user

SCOPED = (Membership, SchoolClass, Student, Term, Grade, Report)


def test_people_see_the_rows_of_their_own_school_only(ours: Place, theirs: Place) -> None:
    for model in SCOPED:
        seen = model.objects.visible_to(ours.teacher)
        assert seen.exists()
        assert not set(seen) & set(model.objects.visible_to(theirs.teacher))
    assert list(schools_of(ours.teacher)) == [ours.school]


def test_superusers_see_all_and_strangers_nothing(
    ours: Place, theirs: Place, administrator: User
) -> None:
    for stranger in (make_user("stranger"), AnonymousUser()):
        assert not schools_of(stranger).exists()
        assert not any(model.objects.visible_to(stranger).exists() for model in SCOPED)
    assert set(schools_of(administrator)) == {ours.school, theirs.school}
    assert Student.objects.visible_to(administrator).count() == 2


def test_a_role_counts_in_its_own_school_only(ours: Place, theirs: Place) -> None:
    Membership.objects.create(school=theirs.school, user=ours.head, role=Role.TEACHER)

    assert set(schools_of(ours.head)) == {ours.school, theirs.school}
    assert list(schools_of(ours.head, Role.HEAD)) == [ours.school]


def test_a_membership_brings_a_group_and_takes_it_away(ours: Place) -> None:
    user = make_user("new")
    membership = Membership.objects.create(school=ours.school, user=user, role=Role.TEACHER)
    user.refresh_from_db()
    assert user.is_staff
    assert [group.name for group in user.groups.all()] == [TEACHERS]

    membership.role = Role.HEAD
    membership.save()
    assert [group.name for group in user.groups.all()] == [HEADS]

    membership.delete()
    assert not user.groups.exists()


def test_deleting_a_person_deletes_the_membership_only(ours: Place) -> None:
    ours.grade.teacher = ours.teacher
    ours.grade.save()
    ours.teacher.delete()

    ours.grade.refresh_from_db()
    assert ours.grade.teacher is None
    assert ours.school.memberships.count() == 1


def test_a_group_that_was_changed_by_hand_stays_as_it_is(ours: Place) -> None:
    teachers = Group.objects.get(name=TEACHERS)
    teachers.permissions.remove(teachers.permissions.get(codename="add_student"))
    newcomer = make_member(ours.school)

    assert not newcomer.has_perm("schools.add_student")
    assert newcomer.has_perm("schools.view_student")


def test_heads_may_do_more_than_teachers_and_neither_may_touch_accounts(ours: Place) -> None:
    assert ours.head.has_perm("schools.change_membership")
    assert not ours.teacher.has_perm("schools.view_membership")
    for user in (ours.head, ours.teacher):
        assert user.has_perm("schools.generate_report")
        assert not any(name.startswith(("users.", "auth.")) for name in user.get_all_permissions())


def test_rows_of_two_schools_do_not_mix(ours: Place, theirs: Place) -> None:
    mixed = (
        (Student(school=ours.school, school_class=theirs.school_class), "school_class"),
        (Grade(student=ours.student, term=theirs.term), "term"),
        (Report(student=ours.student, term=theirs.term), "term"),
    )
    for row, field in mixed:
        with pytest.raises(ValidationError) as refused:
            row.clean()
        assert list(refused.value.message_dict) == [field]
        assert "another school" in refused.value.message_dict[field][0]


def test_nothing_moves_to_another_school(ours: Place, theirs: Place) -> None:
    for row in (ours.school_class, ours.term, make_student(ours.school)):
        row.clean()
        row.school = theirs.school
        with pytest.raises(ValidationError, match="stays there"):
            row.clean()


def test_rows_without_a_school_are_left_to_the_field_that_is_missing(db: None) -> None:
    for row in (Student(), Grade(), Report(), Term(), SchoolClass()):
        row.clean()


def test_nobody_is_born_tomorrow(ours: Place) -> None:
    ours.student.birth_date = timezone.localdate() + timedelta(days=2)
    with pytest.raises(ValidationError, match="future"):
        ours.student.clean()


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (School, lambda place: {"name": place.school.name}),
        (SchoolClass, lambda place: {"school": place.school, "name": place.school_class.name}),
        (Membership, lambda place: {"school": place.school, "user": place.head}),
        (
            Membership,
            lambda place: {"school": place.school, "user": make_user("x"), "role": "owner"},
        ),
        (Student, lambda place: {"school": place.school, "number": place.student.number}),
        (
            Term,
            lambda place: {
                "school": place.school,
                "name": place.term.name,
                "starts": date(2026, 1, 1),
                "ends": date(2026, 2, 1),
            },
        ),
        (
            Term,
            lambda place: {
                "school": place.school,
                "name": "Backwards",
                "starts": date(2026, 2, 1),
                "ends": date(2026, 1, 1),
            },
        ),
        (
            Grade,
            lambda place: {
                "student": place.student,
                "term": place.term,
                "subject": place.grade.subject,
                "mark": 1,
            },
        ),
        (
            Grade,
            lambda place: {
                "student": place.student,
                "term": place.term,
                "subject": "Chess",
                "mark": 101,
            },
        ),
        (
            Report,
            lambda place: {
                "student": place.student,
                "term": place.term,
                "created_at": timezone.now(),
            },
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_database_refuses(ours: Place, model: type[models.Model], values: object) -> None:
    assert callable(values)
    with pytest.raises(IntegrityError), transaction.atomic():
        model._default_manager.create(**values(ours))


def test_the_same_number_may_be_used_in_two_schools(ours: Place, theirs: Place) -> None:
    make_student(theirs.school, number=ours.student.number)


def test_classes_with_students_and_terms_with_grades_stay_but_not_without_their_school(
    ours: Place,
) -> None:
    for row in (ours.school_class, ours.term):
        with pytest.raises(models.RestrictedError):
            row.delete()
    ours.school.delete()
    assert not Student.objects.filter(pk=ours.student.pk).exists()


def test_names_say_what_a_row_is(ours: Place) -> None:
    member = make_member(ours.school, name="zoe")
    assert str(ours.school) == "Our School"
    assert str(ours.school_class) == "Our 5b"
    assert str(ours.term) == "Our term"
    assert str(ours.student) == f"Ourson, Ann ({ours.student.number})"
    assert ours.student.full_name == "Ann Ourson"
    assert str(ours.grade) == "Our studies: 80.0"
    assert str(ours.report) == f"{ours.student}, Our term"
    assert str(member.school_memberships.get()) == f"{member}, Teacher"
