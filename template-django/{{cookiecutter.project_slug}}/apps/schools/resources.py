from typing import Any

from import_export.fields import Field

from apps.schools.models import Grade, School, SchoolClass, Student, Term
from apps.transfers.resources import Row, TransferResource, register
from apps.transfers.scope import Scope
from apps.transfers.widgets import DateWidget, DecimalWidget, RowWidget, TextWidget


class RowsOfASchool(TransferResource):
    """Who belongs to one school need not name it; everybody else does, in a column."""

    school = Field("school", "school", RowWidget(School, "name"))

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        schools = scope.rows(School).values_list("name", flat=True)[:2]
        self.only_school: str = schools[0] if len(schools) == 1 else ""

    def ignored_columns(self) -> list[str]:
        return []

    def required_columns(self) -> list[str]:
        columns = super().required_columns()
        return [name for name in columns if name != "school" or not self.only_school]

    def row_of(self, columns: list[str], cells: list[str]) -> Row:
        row = super().row_of(columns, cells)
        row["school"] = row.get("school") or self.only_school
        return row


@register
class StudentResource(RowsOfASchool):
    required = ("first name", "last name")
    related = ("school", "school_class")

    number = Field("number", "number", TextWidget())
    first_name = Field("first_name", "first name", TextWidget())
    last_name = Field("last_name", "last name", TextWidget())
    birth_date = Field("birth_date", "birth date", DateWidget())
    school_class = Field(
        "school_class", "class", RowWidget(SchoolClass, "name", {"school__name": "school"})
    )
    guardian_email = Field("guardian_email", "guardian e-mail", TextWidget())

    class Meta:
        model = Student
        import_id_fields = ("school", "number")
        fields = (
            "school",
            "number",
            "first_name",
            "last_name",
            "birth_date",
            "school_class",
            "guardian_email",
        )


@register
class GradeResource(RowsOfASchool):
    required = ("school", "mark")
    related = ("student__school", "term")
    # The one who imports a mark gave it.
    written = ("teacher",)

    school = Field("student__school", "school", RowWidget(School, "name"), readonly=True)
    student = Field(
        "student", "student number", RowWidget(Student, "number", {"school__name": "school"})
    )
    term = Field("term", "term", RowWidget(Term, "name", {"school__name": "school"}))
    subject = Field("subject", "subject", TextWidget())
    mark = Field("mark", "mark", DecimalWidget())
    comment = Field("comment", "comment", TextWidget())

    class Meta:
        model = Grade
        import_id_fields = ("student", "term", "subject")
        fields = ("school", "student", "term", "subject", "mark", "comment")

    def before_save_instance(self, instance: Grade, row: Row, **kwargs: Any) -> None:
        instance.teacher_id = self.scope.user_id
