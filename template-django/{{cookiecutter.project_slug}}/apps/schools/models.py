from datetime import date
from typing import ClassVar, Self, TypeVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

Row = TypeVar("Row", bound=models.Model)

LOWEST_MARK = 0
HIGHEST_MARK = 100


class Role(models.TextChoices):
    HEAD = "head"
    TEACHER = "teacher"


class SchoolQuerySet(models.QuerySet["School"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser, role: Role | None = None) -> Self:
        """The schools the user belongs to (with this role, if one is given); superusers: all."""
        if getattr(user, "is_superuser", False):
            return self.all()
        if user.pk is None:
            return self.none()
        mine = Membership.objects.filter(user_id=user.pk)
        if role:
            mine = mine.filter(role=role)
        return self.filter(pk__in=mine.values("school"))


class ScopedQuerySet(models.QuerySet[Row]):
    """Rows that belong to a school; their model says through which path."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser, role: Role | None = None) -> Self:
        """The rows of the schools the user belongs to (with this role, if one is given)."""
        if getattr(user, "is_superuser", False):
            return self.all()
        return self.of_schools(School.objects.visible_to(user, role))

    def of_schools(self, schools: SchoolQuerySet) -> Self:
        path: str = getattr(self.model, "school_path", "school")
        return self.filter(**{f"{path}__in": schools})


def refuse_to_move(row: "SchoolClass | Student | Term") -> None:
    """What hangs on the row would stay behind in the old school."""
    there = type(row)._default_manager.filter(pk=row.pk)
    if row.pk and there.exclude(school=row.school_id).exists():
        raise ValidationError({"school": "It belongs to another school and stays there."})


class School(models.Model):
    name = models.CharField(max_length=200, unique=True)
    address = models.CharField(max_length=300, blank=True)

    objects = SchoolQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """Opens one school to one person, with a role in it."""

    school = models.ForeignKey(School, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="school_memberships"
    )
    role = models.CharField(max_length=10, choices=Role, default=Role.TEACHER)

    objects = ScopedQuerySet["Membership"].as_manager()

    class Meta:
        ordering: ClassVar = ["school", "role", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["school", "user"],
                name="one_membership_per_school_and_user",
                violation_error_message="This person already belongs to this school.",
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display()}"


class SchoolClass(models.Model):
    school = models.ForeignKey(School, models.CASCADE, related_name="classes")
    name = models.CharField(max_length=50)

    objects = ScopedQuerySet["SchoolClass"].as_manager()

    class Meta:
        verbose_name = "class"
        verbose_name_plural = "classes"
        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["school", "name"],
                name="class_name_unique_in_school",
                violation_error_message="The school already has a class of this name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        refuse_to_move(self)


class Student(models.Model):
    school = models.ForeignKey(School, models.CASCADE, related_name="students")
    number = models.CharField(max_length=20, help_text="The school's own number for the student.")
    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    birth_date = models.DateField(null=True, blank=True)
    # Restricted: deleting a class must not touch its students, deleting the school may.
    school_class = models.ForeignKey(
        SchoolClass,
        models.RESTRICT,
        verbose_name="class",
        related_name="students",
        null=True,
        blank=True,
    )
    guardian_email = models.EmailField("guardian's e-mail", blank=True)

    objects = ScopedQuerySet["Student"].as_manager()

    class Meta:
        ordering: ClassVar = ["last_name", "first_name", "pk"]
        indexes: ClassVar = [
            models.Index(fields=["school", "last_name", "first_name", "id"], name="student_by_name")
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["school", "number"],
                name="student_number_unique_in_school",
                violation_error_message="The school already has a student with this number.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.last_name}, {self.first_name} ({self.number})"

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    def clean(self) -> None:
        refuse_to_move(self)
        # A form that already refused a field leaves it empty here.
        school_class = self.school_class
        if school_class and self.school_id and school_class.school_id != self.school_id:
            raise ValidationError({"school_class": "This class belongs to another school."})
        if self.birth_date and self.birth_date > date.today():  # noqa: DTZ011 - a day, nowhere's
            raise ValidationError({"birth_date": "The birth date lies in the future."})


class Term(models.Model):
    school = models.ForeignKey(School, models.CASCADE, related_name="terms")
    name = models.CharField(max_length=50)
    starts = models.DateField()
    ends = models.DateField()

    objects = ScopedQuerySet["Term"].as_manager()

    class Meta:
        ordering: ClassVar = ["-starts", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["school", "name"],
                name="term_name_unique_in_school",
                violation_error_message="The school already has a term of this name.",
            ),
            models.CheckConstraint(
                condition=Q(ends__gt=F("starts")),
                name="term_ends_after_it_starts",
                violation_error_message="A term ends after it starts.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        refuse_to_move(self)


class Grade(models.Model):
    school_path = "student__school"

    student = models.ForeignKey(Student, models.CASCADE, related_name="grades")
    # Restricted: deleting a term must not take a year of marks with it, deleting the school may.
    term = models.ForeignKey(Term, models.RESTRICT, related_name="grades")
    subject = models.CharField(max_length=100)
    mark = models.DecimalField(
        max_digits=4,
        decimal_places=1,
        validators=[MinValueValidator(LOWEST_MARK), MaxValueValidator(HIGHEST_MARK)],
        help_text=f"From {LOWEST_MARK} to {HIGHEST_MARK}.",
    )
    comment = models.TextField(max_length=1000, blank=True)
    # Who gave it: set by the admin and the API, never chosen in a form.
    teacher = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="grades_given",
    )

    objects = ScopedQuerySet["Grade"].as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["student", "term", "subject"],
                name="one_grade_per_student_term_and_subject",
                violation_error_message="The student already has a grade in this subject and term.",
            ),
            models.CheckConstraint(
                condition=Q(mark__gte=LOWEST_MARK, mark__lte=HIGHEST_MARK), name="mark_in_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.mark}"

    def clean(self) -> None:
        if self.student_id and self.term_id and self.student.school_id != self.term.school_id:
            raise ValidationError({"term": "This term belongs to another school."})


def report_path(report: "Report", _: str) -> str:
    """One place for each student and term: a report made again replaces the file."""
    return f"reports/{report.student.school_id}/{report.term_id}/{report.student_id}.pdf"


class Report(models.Model):
    """A term's report of one student, as a PDF in the media storage."""

    school_path = "student__school"

    student = models.ForeignKey(Student, models.CASCADE, related_name="reports")
    term = models.ForeignKey(Term, models.CASCADE, related_name="reports")
    file = models.FileField(upload_to=report_path, max_length=200)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="reports_made"
    )

    objects = ScopedQuerySet["Report"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]
        permissions: ClassVar = [("generate_report", "Can generate reports")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["student", "term"], name="one_report_per_student_and_term"
            )
        ]

    def __str__(self) -> str:
        return f"{self.student}, {self.term}"

    def clean(self) -> None:
        if self.student_id and self.term_id and self.student.school_id != self.term.school_id:
            raise ValidationError({"term": "This term belongs to another school."})
