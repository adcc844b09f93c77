import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.errors import StorageError
from apps.jobs.models import Job
from apps.jobs.task import enqueue
from apps.schools import reports
from apps.schools.models import Grade, Report, Student, Term, report_path
from apps.schools.reports import Press, average_of, content_of
from apps.schools.tasks import (
    generate_reports,
    mail_reports,
    on_report_deleted,
    remove_report_file,
)
from tests.jobs.plugin import RunJobs
from tests.schools.conftest import Place
from tests.schools.factories import PDF, make_grade, make_report, make_student

NASTY = """#import "x" O'Brien \\ <b> *b* $x$ 東京 Ελλάδα Привет Żółw"""


def order(place: Place) -> Job:
    return enqueue(
        generate_reports,
        place.school_class.pk,
        place.term.pk,
        place.teacher.pk,
        created_by=place.teacher,
    )


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.pdf")}


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    """An empty folder for the files of this test."""
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


def test_text_stays_text_whatever_it_looks_like(ours: Place) -> None:
    for name in ("first_name", "last_name", "number"):
        setattr(ours.student, name, NASTY)
    ours.school.name = ours.school_class.name = ours.term.name = NASTY
    ours.student.school = ours.school
    ours.student.school_class = ours.school_class
    ours.grade.subject = ours.grade.comment = NASTY
    ours.grade.mark = Decimal("81.5")

    assert Press().print(content_of(ours.student, ours.term, [ours.grade])).startswith(b"%PDF-")


def test_a_report_says_what_the_grades_say(ours: Place) -> None:
    ours.grade.mark = Decimal("81.5")
    ours.grade.teacher = ours.teacher
    more = Grade(student=ours.student, subject="Art", mark=Decimal("60.0"), comment="Fine")
    content = content_of(ours.student, ours.term, [ours.grade, more])

    assert content["student"] == "Ann Ourson"
    assert content["school_class"] == "Our 5b"
    assert content["birth_date"] == "9 March 2014"
    assert content["term"] == "Our term, 1 September 2025 – 31 January 2026"  # noqa: RUF001 - a dash between dates
    assert [row["subject"] for row in content["grades"]] == ["Art", "Our studies"]
    assert content["grades"][1]["teacher"] == str(ours.teacher)
    assert content["average"] == "70.8"
    json.dumps(content)


def test_a_student_without_class_birth_date_and_grades_has_a_report(ours: Place) -> None:
    student = make_student(ours.school, birth_date=None)
    content = content_of(student, ours.term, [])
    assert content["average"] == ""
    assert Press().print(content).startswith(b"%PDF-")


def test_an_average_has_one_decimal_and_nothing_has_none() -> None:
    assert average_of([]) is None
    assert str(average_of([Decimal("80.0"), Decimal("70.5"), Decimal("71.0")])) == "73.8"


def test_every_process_prints_although_its_parent_has_imported_typst() -> None:
    code = (
        "import os, typst\n"
        "if not (child := os.fork()):\n"
        "    pdf = typst.compile(b'Hello')\n"
        "    os._exit(0 if pdf.startswith(b'%PDF') else 1)\n"
        "raise SystemExit(os.waitpid(child, 0)[1])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)  # noqa: S603 - our own code


def test_a_class_gets_one_report_a_student_and_the_teacher_a_mail(
    ours: Place, run_jobs: RunJobs, folder: Path
) -> None:
    ours.report.delete()
    other = make_student(school_class=ours.school_class)
    elsewhere = make_student(ours.school)
    order(ours)
    printed, mailed = run_jobs()

    assert printed.state == mailed.state == Job.State.SUCCEEDED
    assert (printed.progress_done, printed.progress_total) == (2, 2)
    assert printed.result == "2 reports of class Our 5b, Our term."
    made = Report.objects.filter(term=ours.term)
    assert {report.student for report in made} == {ours.student, other}
    assert not elsewhere.reports.exists()
    for report in made:
        assert report.created_by == ours.teacher
        assert report.file.read().startswith(b"%PDF-")
    assert files(folder) == {str(report.file.name) for report in made}

    (message,) = mail.outbox
    assert message.to == [ours.teacher.email]
    assert message.subject == "The reports of Our 5b are ready"
    link = next(line for line in str(message.body).splitlines() if line.startswith("http"))
    path = link[link.index("/admin/") :]
    client = Client()
    client.force_login(ours.teacher)
    listed = client.get(path)
    assert listed.status_code == 200
    assert listed.context["cl"].result_count == 2


def test_reports_made_twice_are_there_once(ours: Place, run_jobs: RunJobs, folder: Path) -> None:
    order(ours)
    run_jobs()
    before = files(folder)
    make_grade(ours.student, ours.term, subject="Chess")
    order(ours)
    run_jobs()

    report = ours.term.reports.get()
    assert files(folder) == before == {str(report.file.name)}


def test_a_job_that_was_stopped_in_the_middle_leaves_nothing_behind(
    ours: Place, run_jobs: RunJobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        make_student(school_class=ours.school_class)
    ours.report.delete()
    job = order(ours)
    written: list[str] = []
    save = Storage.save

    def stop_after_two(storage: Storage, name: str | None, *args: Any, **options: Any) -> str:
        written.append(save(storage, name, *args, **options))
        if len(written) == 2:
            # The file is there, its row is not.
            raise RuntimeError("The worker is gone.")
        return written[-1]

    monkeypatch.setattr(Storage, "save", stop_after_two)
    run_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert (ours.term.reports.count(), len(files(folder))) == (1, 2)

    monkeypatch.undo()
    order(ours)
    run_jobs()
    made = ours.term.reports.all()
    assert len(made) == 3
    assert files(folder) == {str(report.file.name) for report in made}


def test_two_prints_of_the_same_moment_keep_one_file(
    ours: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = report_path(ours.report, "")
    storage = storages["default"]
    delete = storage.delete

    def be_late(deleted: str) -> None:
        delete(deleted)
        if deleted == name:
            # The other one writes its file after this one has cleared the place.
            storage.save(name, ContentFile(PDF))

    monkeypatch.setattr(storage, "delete", be_late)
    report = reports.make_report(Press(), ours.student, ours.term, [], created_by=None)

    assert report is not None
    assert files(folder) == {name}


@pytest.mark.parametrize("gone", ["student", "term"])
def test_a_student_who_left_in_the_meantime_leaves_no_file(
    ours: Place, folder: Path, gone: str
) -> None:
    student, term = ours.student, ours.term
    Grade.objects.all().delete()
    model: Any = {"student": Student, "term": Term}[gone]
    model.objects.filter(pk=getattr(ours, gone).pk).delete()

    assert reports.make_report(Press(), student, term, [], created_by=None) is None
    assert not files(folder)


def test_a_job_without_its_class_or_its_mails_reader_ends_quietly(
    ours: Place, run_jobs: RunJobs, folder: Path
) -> None:
    enqueue(generate_reports, 999_999, ours.term.pk, ours.teacher.pk)
    enqueue(mail_reports, ours.school_class.pk, ours.term.pk, 999_999)
    enqueue(generate_reports, ours.school_class.pk, ours.term.pk, 999_999)
    jobs = run_jobs()

    assert [job.state for job in jobs] == [Job.State.SUCCEEDED] * 3
    assert jobs[0].result == "The class or the term is gone."
    assert ours.term.reports.get().created_by is None
    assert not mail.outbox


def test_a_mail_is_tried_again_when_the_mail_server_is_away(
    ours: Place, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("no mail server")

    monkeypatch.setattr("apps.schools.tasks.send_mail", refuse)
    enqueue(mail_reports, ours.school_class.pk, ours.term.pk, ours.teacher.pk)
    job = run_jobs()[-1]
    assert job.state == Job.State.QUEUED
    assert "no mail server" in job.error


def test_a_name_with_a_line_break_makes_no_second_mail_header(
    ours: Place, run_jobs: RunJobs
) -> None:
    ours.school_class.name = "5b\nBcc: all@example.com"
    ours.school_class.save()
    enqueue(mail_reports, ours.school_class.pk, ours.term.pk, ours.teacher.pk)
    run_jobs()
    assert mail.outbox[0].subject == "The reports of 5b Bcc: all@example.com are ready"


def test_a_deleted_report_takes_its_file_along(
    ours: Place, folder: Path, run_jobs: RunJobs, django_capture_on_commit_callbacks: Any
) -> None:
    order(ours)
    run_jobs()
    with django_capture_on_commit_callbacks(execute=True):
        ours.student.delete()
    assert not files(folder)
    Report(student=Student(school=ours.school), term=ours.term)
    with django_capture_on_commit_callbacks(execute=True):
        on_report_deleted(Report())


def test_the_own_school_downloads_its_reports(
    teacher: Client, teacher_api: APIClient, ours: Place
) -> None:
    answers: list[Any] = [
        teacher.get(reverse("report", args=[ours.report.pk])),
        teacher_api.get(f"/api/reports/{ours.report.pk}/file"),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert b"".join(answer.streaming_content) == PDF
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private, no-store"
        disposition = answer.headers["Content-Disposition"]
        assert disposition == 'attachment; filename="Ann_Ourson_Our_term.pdf"'


def test_nobody_else_downloads_them(
    teacher: Client, teacher_api: APIClient, client: Client, api: APIClient, theirs: Place
) -> None:
    page = reverse("report", args=[theirs.report.pk])
    file = f"/api/reports/{theirs.report.pk}/file"
    assert teacher.get(page).status_code == 404
    assert teacher.post(page).status_code == 405
    assert teacher_api.get(file).status_code == 404
    assert api.get(file).status_code == 401
    assert Client().get(page).headers["Location"].startswith(str(settings.LOGIN_URL))


def test_a_download_needs_the_permission_to_see_reports(teacher: Client, ours: Place) -> None:
    ours.teacher.groups.clear()
    assert teacher.get(reverse("report", args=[ours.report.pk])).status_code == 404


def test_media_is_not_served(teacher: Client, ours: Place) -> None:
    assert teacher.get(f"/media/{ours.report.file.name}").status_code == 404


def test_a_file_that_is_gone_is_not_found(
    teacher: Client, teacher_api: APIClient, ours: Place
) -> None:
    report = make_report(make_student(ours.school))
    storages["default"].delete(str(report.file.name))
    assert teacher.get(reverse("report", args=[report.pk])).status_code == 404
    answer = teacher_api.get(f"/api/reports/{report.pk}/file")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "The file is not there: generate the report again."


class Bucket(Storage):
    """Answers as a bucket does: with a link that somebody else serves."""

    def size(self, name: str) -> int:
        return len(PDF)

    def url(
        self, name: str | None, parameters: dict[str, str] | None = None, expire: int = 0
    ) -> str:
        assert parameters
        return f"https://bucket.example/{name}?expires={expire}&type={parameters['ResponseContentType']}"


def test_a_bucket_gives_the_file_out_for_a_minute(teacher: Client, ours: Place) -> None:
    with override_settings(STORAGES={"default": {"BACKEND": f"{__name__}.Bucket"}}):
        answer = teacher.get(reverse("report", args=[ours.report.pk]))
    assert answer.status_code == 302
    link = answer.headers["Location"]
    assert link.startswith(f"https://bucket.example/{ours.report.file.name}?expires=60&")
    assert link.endswith("type=application/pdf")


class AwayStorage(FileSystemStorage):
    """Keeps nothing and gives nothing out, as a bucket that does not answer."""

    def refuse(self, *_: object, **__: object) -> Any:
        raise StorageError("The file store does not answer.")

    _open: Any = refuse
    _save: Any = refuse
    delete: Any = refuse
    exists: Any = refuse
    size: Any = refuse


STORE_AWAY = {"default": {"BACKEND": f"{__name__}.AwayStorage"}}


def test_reports_are_made_when_the_storage_is_back(
    ours: Place, run_jobs: RunJobs, folder: Path
) -> None:
    order(ours)
    with override_settings(STORAGES=settings.STORAGES | STORE_AWAY):
        (job,) = run_jobs()
    assert (job.state, job.error) == (Job.State.QUEUED, "The file store does not answer.")
    assert job.run_at > timezone.now() - timedelta(seconds=1)

    made, _ = run_jobs(later=True)
    assert made.state == Job.State.SUCCEEDED
    assert files(folder)


@pytest.mark.slow
def test_a_storage_that_stays_away_ends_the_job_with_words(
    ours: Place, run_jobs: RunJobs, folder: Path
) -> None:
    job = order(ours)
    with override_settings(STORAGES=settings.STORAGES | STORE_AWAY):
        ran = run_jobs(later=True)

    job.refresh_from_db()
    assert (job.state, job.error) == (Job.State.FAILED, "The file store does not answer.")
    assert len(ran) == (generate_reports.max_retries or 0) + 1


def test_a_download_while_the_storage_is_away_is_said_to_be_temporary(
    teacher: Client, teacher_api: APIClient, ours: Place
) -> None:
    with override_settings(STORAGES=settings.STORAGES | STORE_AWAY):
        page = teacher.get(reverse("report", args=[ours.report.pk]))
        problem = teacher_api.get(f"/api/reports/{ours.report.pk}/file")

    for answer in (page, problem):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
    assert "The file store does not answer." in page.content.decode()
    assert problem.json()["detail"] == "The file store does not answer."


def test_a_file_that_cannot_be_removed_now_is_removed_later(
    ours: Place, folder: Path, run_jobs: RunJobs, django_capture_on_commit_callbacks: Any
) -> None:
    order(ours)
    run_jobs()
    with (
        override_settings(STORAGES=settings.STORAGES | STORE_AWAY),
        django_capture_on_commit_callbacks(execute=True),
    ):
        ours.student.delete()
    assert files(folder)

    run_jobs(later=True)
    assert not files(folder)


def test_the_file_of_a_report_that_was_made_again_is_not_removed(
    ours: Place, folder: Path, run_jobs: RunJobs
) -> None:
    order(ours)
    run_jobs()
    enqueue(remove_report_file, str(ours.term.reports.get().file.name))
    run_jobs()

    assert files(folder)
