"""Two invented schools with a year of grades, so that the first look is worth looking at."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

from django.db import transaction
from django.db.models import Model

from apps.schools.models import Grade, Membership, Role, School, SchoolClass, Student, Term
from apps.users.models import User

SCHOOLS = {
    "Maple Grove School": ("12 Orchard Lane, Mapleton", ("5a", "5b", "6a", "6b", "7a", "7b")),
    "Riverside School": ("3 Quay Street, Mapleton", ("5a", "6a")),
}
STUDENTS_IN_A_CLASS = 20
# How strict a subject's teacher is: added to the marks.
SUBJECTS = {
    "Mathematics": -6,
    "English": -2,
    "Biology": 0,
    "History": 1,
    "Geography": 2,
    "French": -3,
    "Art": 7,
    "Physical education": 9,
}
FIRST_NAMES = """
    Amélie Anton Ayşe Beatriz Björn Chiara Chloé Daniel Elena Elif Emil Emma Felix Fiona François
    Freya Gabriel Hana Hugo Ines Isla Ivan Jan Jürgen Kai Karolína Lars Lena Léo Lucía Luka Mael
    Maja Marek Mateo Mia Milan Mira Nadia Niamh Noah Nora Oğuz Olga Oliver Óscar Paula Petra Rafael
    Renée Rosa Sami Šárka Selma Siân Sofia Søren Tariq Theo Tomáš Yara Yusuf Zoë Zuzana
""".split()  # noqa: SIM905 - names, not a hundred quotes
LAST_NAMES = """
    Almeida Andersen Bąk Bauer Becker Çelik Dąbrowski Dubois Evans Ferreira Fischer García Gonçalves
    Haddad Hansen Horváth Ivanova Jansen Jónsdóttir Kaya Keller Khan Kovačević Kowalska Laurent
    Lindström Lopes Müller Murphy Nguyễn Nielsen Novák Núñez O'Brien O'Connor Öztürk Pétursson Popović
    Rossi Sánchez Schäfer Silva Şahin Smith Svoboda Tanaka Tóth Van-Dijk Vargas Weiß Williams Wójcik
    Żak
""".split()  # noqa: SIM905 - names, not a hundred quotes
STAFF = {
    "Maple Grove School": (
        ("head", "Margaret", "O'Sullivan", Role.HEAD),
        ("teacher", "Jonas", "Lindqvist", Role.TEACHER),
        ("ruiz", "Inés", "Ruiz", Role.TEACHER),
        ("moreau", "Étienne", "Moreau", Role.TEACHER),
        ("nowak", "Zofia", "Nowak", Role.TEACHER),
    ),
    "Riverside School": (
        ("riverside", "Ewan", "MacLeod", Role.HEAD),
        ("petrov", "Milena", "Petrov", Role.TEACHER),
    ),
}
# These can log in; the others are there so that grades have teachers.
WITH_PASSWORD = ("head", "teacher", "riverside")
# From this mark on.
COMMENTS = (
    (85, ("Outstanding work.", "Always well prepared, and helps others.", "A pleasure to teach.")),
    (70, ("Good work all term.", "Takes part and asks good questions.", "Reliable and careful.")),
    (55, ("Solid, with room to grow.", "Homework was late at times.", "Can do more than this.")),
    (0, ("Needs help with the basics.", "We should talk about how to support this student.")),
)


@dataclass(frozen=True)
class Login:
    school: School
    role: str
    login: str
    password: str


@transaction.atomic
def make_demo(today: date) -> list[Login]:
    """Make the schools and return who can log in; an empty list when they are there already."""
    if School.objects.filter(name__in=SCHOOLS).exists():
        return []
    # Always the same invented people.
    random = Random(5)  # noqa: S311 - nothing secret
    logins = []
    for name, (address, class_names) in SCHOOLS.items():
        school = School.objects.create(name=name, address=address)
        teachers = []
        for short_name, first_name, last_name, role in STAFF[name]:
            password = secrets.token_urlsafe(12) if short_name in WITH_PASSWORD else None
            user = _make_person(short_name, first_name, last_name, password)
            Membership.objects.create(school=school, user=user, role=role)
            teachers.append(user)
            if password:
                logins.append(Login(school, role.label, user.get_username(), password))
        _fill(school, class_names, _make_terms(school, today), teachers, random)
    return logins


def _make_person(short_name: str, first_name: str, last_name: str, password: str | None) -> User:
    login = {"email": f"{short_name}@school.example", "username": short_name}
    if User.USERNAME_FIELD == "email":
        del login["username"]
    names = {"first_name": first_name, "last_name": last_name}
    return User.objects.create_user(**login, password=password, **names)


def _make_terms(school: School, today: date) -> list[Term]:
    """The last school year that has ended: nobody has marks in a term to come."""
    year = today.year - 1 if today > date(today.year, 7, 10) else today.year - 2
    terms = (
        ("Autumn", date(year, 9, 1), date(year, 12, 19)),
        ("Spring", date(year + 1, 1, 7), date(year + 1, 3, 27)),
        ("Summer", date(year + 1, 4, 13), date(year + 1, 7, 10)),
    )
    return _keep(
        Term(school=school, name=f"{name} {starts.year}", starts=starts, ends=ends)
        for name, starts, ends in terms
    )


def _fill(
    school: School,
    class_names: tuple[str, ...],
    terms: list[Term],
    staff: list[User],
    random: Random,
) -> None:
    classes = _keep(SchoolClass(school=school, name=name) for name in class_names)
    year = terms[0].starts.year
    students: list[Student] = []
    for school_class in classes:
        born = year - 5 - int(school_class.name[0])
        for _ in range(STUDENTS_IN_A_CLASS):
            first_name, last_name = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
            number = f"{year}-{len(students) + 1:03}"
            students.append(
                Student(
                    school=school,
                    school_class=school_class,
                    number=number,
                    first_name=first_name,
                    last_name=last_name,
                    birth_date=date(born, random.randint(1, 12), random.randint(1, 28)),
                    guardian_email=f"family.{number}@home.example",
                )
            )
    _keep(students)
    teacher_of = {subject: staff[i % len(staff)] for i, subject in enumerate(SUBJECTS)}
    _keep(
        _make_grade(student, term, subject, teacher_of[subject], talent, random)
        for student in students
        for talent in [random.gauss(70, 12)]
        for term in terms
        for subject in SUBJECTS
    )


def _keep(rows: Iterable[Model]) -> list[Any]:
    """Write rows of one kind, with their first version where versions are kept."""
    made = list(rows)
    model: Any = type(made[0])
    model.objects.bulk_create(made, batch_size=1000)
    if hasattr(model, "history"):
        model.history.bulk_history_create(made, batch_size=1000)
    return made


def _make_grade(
    student: Student, term: Term, subject: str, teacher: User, talent: float, random: Random
) -> Grade:
    mark = min(100.0, max(12.0, random.gauss(talent + SUBJECTS[subject], 7)))
    comments = next(comments for least, comments in COMMENTS if mark >= least)
    return Grade(
        student=student,
        term=term,
        subject=subject,
        mark=Decimal(round(mark * 2)) / 2,
        comment=random.choice(comments),
        teacher=teacher,
    )
