"""Reports: a PDF for each student and term, made from the grades and kept in the media storage."""

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import typst
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db import transaction
from django.http import FileResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename

from apps.core.errors import NotFoundError
from apps.schools.models import Grade, Report, SchoolClass, Student, Term, report_path
from apps.users.models import User

TEMPLATE = Path(__file__).with_name("report.typ")
DATES = "j F Y"
LINK_SECONDS = 60


class Press:
    """Prints reports with Typst: one wheel without system libraries, with fonts for Latin, Greek
    and Cyrillic inside, works without network, and needs a few milliseconds for a page. The data
    goes in as JSON, so a name such as `#import` stays a name.

    Two threads must not share a press. And do not print before a fork: the child would wait for
    threads that it does not have.
    """

    def __init__(self) -> None:
        self.compiler = typst.Compiler(TEMPLATE)

    def print(self, content: dict[str, Any]) -> bytes:
        pdf = self.compiler.compile(sys_inputs={"report": json.dumps(content)}, format="pdf")
        assert isinstance(pdf, bytes)  # One document; for pictures there would be a list of pages.
        return pdf


def average_of(marks: Iterable[Decimal]) -> Decimal | None:
    marks = list(marks)
    return round(sum(marks, Decimal()) / len(marks), 1) if marks else None


def content_of(student: Student, term: Term, grades: list[Grade]) -> dict[str, Any]:
    """What report.typ shows. Give grades with their teachers."""
    school = student.school
    return {
        "title": f"{student.full_name}, {term.name}",
        "school": school.name,
        "address": school.address,
        "term": f"{term.name}, {date_format(term.starts, DATES)} – {date_format(term.ends, DATES)}",  # noqa: RUF001 - a dash between dates
        "student": student.full_name,
        "number": student.number,
        "school_class": student.school_class.name if student.school_class else "–",  # noqa: RUF001 - stands for nothing
        "birth_date": date_format(student.birth_date, DATES) if student.birth_date else "–",  # noqa: RUF001 - stands for nothing
        "grades": [
            {
                "subject": grade.subject,
                "mark": str(grade.mark),
                "comment": grade.comment,
                "teacher": str(grade.teacher or ""),
            }
            for grade in sorted(grades, key=lambda grade: grade.subject)
        ],
        "average": str(average_of(grade.mark for grade in grades) or ""),
        "made_on": date_format(timezone.localdate(), DATES),
    }


def make_report(
    press: Press, student: Student, term: Term, grades: list[Grade], *, created_by: User | None
) -> Report | None:
    """Print and keep it in place of the one before. None: the student or the term is gone.

    A report has one place in the storage, so whenever this stops in the middle, the next run
    leaves nothing behind.
    """
    storage = storages["default"]
    report = Report(student=student, term=term)
    name = report_path(report, "")
    pdf = press.print(content_of(student, term, grades))
    # A slow storage must not hold a transaction, so the file is there before its row.
    storage.delete(name)
    saved = storage.save(name, ContentFile(pdf))
    if saved != name:
        # Somebody else printed the same report in this moment.
        storage.delete(saved)
    with transaction.atomic():
        if not (
            Student.objects.select_for_update().filter(pk=student.pk).exists()
            and Term.objects.select_for_update().filter(pk=term.pk).exists()
        ):
            storage.delete(name)
            return None
        return Report.objects.update_or_create(
            student=student,
            term=term,
            defaults={"file": name, "created_at": timezone.now(), "created_by": created_by},
        )[0]


def students_to_report(school_class: SchoolClass) -> list[Student]:
    return list(school_class.students.select_related("school", "school_class"))


def download(report: Report) -> HttpResponseBase:
    """The file itself, or the way to where a bucket gives it out for a minute.

    Raises NotFoundError and StorageError. Whoever calls it has asked whether the user may see the report.
    """
    storage = storages["default"]
    name = str(report.file.name)
    filename = get_valid_filename(f"{report.student.full_name} {report.term}.pdf")
    response: HttpResponseBase
    try:
        # Asked here, because behind the way to a bucket nobody could say it in words.
        storage.size(name)
    except FileNotFoundError as error:
        raise NotFoundError("The file is not there: generate the report again.") from error
    if isinstance(storage, FileSystemStorage):
        response = FileResponse(
            storage.open(name),
            as_attachment=True,
            filename=filename,
            content_type="application/pdf",
        )
    else:
        disposition = content_disposition_header(as_attachment=True, filename=filename)
        response = HttpResponseRedirect(
            storage.url(  # type: ignore[call-arg]  # django-storages' S3Storage takes more
                name,
                parameters={
                    "ResponseContentDisposition": disposition,
                    "ResponseContentType": "application/pdf",
                },
                expire=LINK_SECONDS,
            )
        )
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response
