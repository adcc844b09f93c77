import re
from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count
from django.test import Client
from django.urls import reverse

from apps.schools import demo
from apps.schools.demo import make_demo
from apps.schools.models import Grade, Membership, School, SchoolClass, Student, Term
from apps.users.models import User

IN_A_CLASS = demo.STUDENTS_IN_A_CLASS
MODELS = (School, Membership, SchoolClass, Term, Student, Grade, User)


def seed(*options: str) -> str:
    output = StringIO()
    call_command("seed", *options, stdout=output)
    return output.getvalue()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STUDENTS_IN_A_CLASS", 1)


@pytest.mark.slow
def test_seed_makes_two_schools_and_logins_that_work_and_only_once(
    db: None, small: None, client: Client
) -> None:
    told = seed()
    logins = re.findall(r"^  (head|teacher) +(\S+) +(\S+) ", told, re.MULTILINE)
    assert [role for role, _, _ in logins] == ["head", "teacher", "head"]
    for _, login, password in logins:
        assert client.login(username=login, password=password)
    assert client.get(reverse("admin:schools_student_changelist")).status_code == 200

    counts = [model._default_manager.count() for model in MODELS]
    assert seed() == "The demo schools are already there: nothing was changed.\n"
    assert [model._default_manager.count() for model in MODELS] == counts

    school = School.objects.annotate(classes_made=Count("classes")).latest("classes_made")
    assert school.classes.count() >= 6
    assert school.students.count() * IN_A_CLASS >= 120
    assert any(not student.full_name.isascii() for student in school.students.all())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("today", "terms"),
    [
        (date(2027, 7, 11), ["Autumn 2026", "Spring 2027", "Summer 2027"]),
        (date(2028, 7, 10), ["Autumn 2026", "Spring 2027", "Summer 2027"]),
    ],
)
def test_the_demo_shows_a_year_that_has_ended_and_every_row_is_valid(
    db: None, small: None, today: date, terms: list[str]
) -> None:
    make_demo(today)
    assert sorted(set(Term.objects.values_list("name", flat=True))) == terms
    for model in (School, SchoolClass, Term, Student):
        for row in model._default_manager.all()[:3]:
            row.full_clean()
    for grade in (Grade.objects.earliest("mark"), Grade.objects.latest("mark")):
        grade.full_clean()
        assert grade.comment


def test_seed_refuses_production_unless_it_is_forced(db: None, small: None, settings: Any) -> None:
    settings.ENV = settings.ENV.model_copy(update={"environment": "production"})
    with pytest.raises(CommandError, match="--force"):
        seed()
    assert not School.objects.exists()
    assert "Log in" in seed("--force")
