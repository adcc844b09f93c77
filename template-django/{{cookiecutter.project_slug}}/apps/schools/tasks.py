from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse
from django.utils.http import urlencode

from apps.jobs.task import Task, enqueue
from apps.schools.models import Grade, SchoolClass, Term
from apps.schools.reports import Press, make_report, students_to_report
from apps.users.models import User


@shared_task(base=Task, bind=True, atomic=False)
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


def reports_path(class_id: int, term_id: int) -> str:
    """The admin's list of these reports."""
    query = {"student__school_class__id__exact": class_id, "term__id__exact": term_id}
    return f"{reverse('admin:schools_report_changelist')}?{urlencode(query)}"


def one_line(text: str) -> str:
    return " ".join(text.split())
