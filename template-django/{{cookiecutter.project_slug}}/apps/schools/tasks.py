from typing import Any

from celery import shared_task
from django.conf import settings
from django.core.files.storage import storages
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse
from django.utils.http import urlencode

from apps.core.errors import StorageError
from apps.jobs.task import Task, enqueue
from apps.schools.models import Grade, Report, SchoolClass, Term
from apps.schools.reports import Press, make_report, students_to_report
from apps.users.models import User


# The waits add up to ten minutes: a store that is started again is back by then. With jitter, which
# Celery adds by itself, they may all be nothing.
@shared_task(
    base=Task,
    bind=True,
    atomic=False,
    autoretry_for=(StorageError,),
    retry_backoff=10,
    retry_jitter=False,
    max_retries=6,
)
def generate_reports(self: Task, class_id: int, term_id: int, user_id: int) -> str:
    """Print the report of each student of the class and mail the user a link.

    Each student is a step of its own: repeated, it replaces the report by the same one.
    """
    school_class = SchoolClass.objects.filter(pk=class_id).first()
    term = Term.objects.filter(pk=term_id).first()
    if school_class is None or term is None:
        return "The class or the term is gone."
    user = User.objects.filter(pk=user_id).first()
    students = students_to_report(school_class)
    press = Press()
    made = 0
    for done, student in enumerate(students):
        self.advance(done, len(students))
        # Read now and not before: the step may come minutes after the first one.
        grades = list(Grade.objects.filter(student=student, term=term).select_related("teacher"))
        made += make_report(press, student, term, grades, created_by=user) is not None
    self.advance(len(students), len(students))
    if user and user.email:
        enqueue(mail_reports, class_id, term_id, user_id, label=f"Mail: reports of {school_class}")
    return f"{made} reports of class {school_class}, {term}."


# No transaction, since a mail server may be slow. A worker that dies right after it sent the mail
# sends it again.
@shared_task(base=Task, atomic=False, autoretry_for=(OSError,), retry_backoff=True, max_retries=5)
def mail_reports(class_id: int, term_id: int, user_id: int) -> None:
    school_class = SchoolClass.objects.filter(pk=class_id).first()
    term = Term.objects.filter(pk=term_id).first()
    user = User.objects.filter(pk=user_id).first()
    if school_class is None or term is None or user is None or not user.email:
        return
    link = settings.PUBLIC_URL + reports_path(class_id, term_id)
    send_mail(
        f"The reports of {one_line(school_class.name)} are ready",
        f"The reports of class {school_class}, {term}, are ready:\n\n{link}\n\n"
        "Only people of the school can open them, after they have logged in.\n",
        None,
        [user.email],
    )


@shared_task(
    base=Task,
    atomic=False,
    autoretry_for=(StorageError,),
    retry_backoff=10,
    retry_jitter=False,
    max_retries=12,
)
def remove_report_file(name: str) -> None:
    # A report that was made again meanwhile has its file in the same place.
    if not Report.objects.filter(file=name).exists():
        storages["default"].delete(name)


def on_report_deleted(instance: Report, **_: Any) -> None:
    if name := instance.file.name:
        transaction.on_commit(lambda: forget_file(name))


def forget_file(name: str) -> None:
    """At once, or in a job while the storage is away."""
    try:
        storages["default"].delete(name)
    except StorageError:
        enqueue(remove_report_file, name, label=f"Remove {name}")


def reports_path(class_id: int, term_id: int) -> str:
    """The admin's list of these reports."""
    query = {"student__school_class__id__exact": class_id, "term__id__exact": term_id}
    return f"{reverse('admin:schools_report_changelist')}?{urlencode(query)}"


def one_line(text: str) -> str:
    return " ".join(text.split())
