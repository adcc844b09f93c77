from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.apps.registry import Apps
from django.contrib.auth.models import Permission
from django.forms import model_to_dict
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat import schedulers
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, PeriodicTask

from apps.jobs.beat import Scheduler
from apps.jobs.forms import ScheduleForm
from apps.jobs.models import Job
from apps.jobs.schedules import make_schedules
from apps.jobs.task import enqueue
from apps.users.models import User
from tests.jobs import tasks
from tests.jobs.plugin import run_job
from tests.users.factories import make_user

pytestmark = pytest.mark.django_db

LIST = "admin:jobs_job_changelist"


def page_of(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


@pytest.fixture
def boss(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def teacher() -> User:
    return make_user("teacher", is_staff=True)


@pytest.fixture
def failed(administrator: User) -> Job:
    job = enqueue(tasks.found_and_fail, "chess", created_by=administrator, label="Found the club")
    return run_job(job.pk)


def test_the_list_says_what_became_of_jobs(boss: Client, failed: Job) -> None:
    enqueue(tasks.found, "go", label="Found another")
    running = Job.objects.create(name="long", label="Import", state=Job.State.RUNNING)
    Job.objects.filter(pk=running.pk).update(progress_done=3, progress_total=8)

    text = boss.get(reverse(LIST)).content.decode()
    assert "ValueError: no more groups" in text
    assert '<progress value="3" max="8">' in text

    found = boss.get(reverse(LIST), {"q": "no more groups"}).content.decode()
    assert "Found the club" in found
    assert "Found another" not in found
    assert "Found the club" not in boss.get(reverse(LIST), {"state": "queued"}).content.decode()


def test_the_list_takes_as_many_queries_for_many_jobs_as_for_one(
    boss: Client, failed: Job, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    with django_assert_max_num_queries(50) as one:
        boss.get(reverse(LIST))
    for number in range(20):
        enqueue(tasks.found, str(number), created_by=make_user(f"user{number}"))

    with django_assert_max_num_queries(len(one)):
        boss.get(reverse(LIST))


def test_a_job_that_no_worker_takes_says_so(boss: Client) -> None:
    job = enqueue(tasks.found, "go")
    assert "No worker has taken this yet" not in boss.get(page_of(job)).content.decode()

    moment = timezone.now()
    Job.objects.filter(pk=job.pk).update(run_at=moment - timedelta(seconds=6))
    assert "No worker has taken this yet" in boss.get(page_of(job)).content.decode()

    later = {"run_at": moment + timedelta(minutes=1)}
    running = {"run_at": moment - timedelta(seconds=6), "state": Job.State.RUNNING}
    for values in (later, running):
        Job.objects.filter(pk=job.pk).update(**values)
        assert "No worker has taken this yet" not in boss.get(page_of(job)).content.decode()


def test_a_job_that_is_not_finished_shows_itself_anew(boss: Client, failed: Job) -> None:
    queued = enqueue(tasks.found, "go")

    assert 'http-equiv="refresh"' in boss.get(page_of(queued)).content.decode()
    text = boss.get(page_of(failed)).content.decode()
    assert 'http-equiv="refresh"' not in text
    assert "chess" in text


def test_a_long_duration_is_given_in_minutes(boss: Client, failed: Job) -> None:
    assert failed.started_at
    failed.finished_at = failed.started_at.replace(year=failed.started_at.year + 1)
    failed.save()

    assert "days" in boss.get(page_of(failed)).content.decode()


def test_nobody_adds_edits_or_deletes_a_job_by_hand(boss: Client, failed: Job) -> None:
    assert boss.get(reverse("admin:jobs_job_add")).status_code == 403
    assert boss.post(page_of(failed), {"state": "succeeded"}).status_code == 403
    delete = reverse("admin:jobs_job_delete", args=[failed.pk])
    assert boss.post(delete, {"post": "yes"}).status_code == 403


def test_people_see_the_jobs_that_they_created_and_no_others(
    client: Client, teacher: User, failed: Job
) -> None:
    own = enqueue(tasks.found, "go", created_by=teacher, label="Their own")
    client.force_login(teacher)

    text = client.get(reverse(LIST)).content.decode()

    assert "Their own" in text
    assert "Found the club" not in text
    assert client.get(page_of(own)).status_code == 200
    assert client.get(page_of(failed)).status_code == 302


def test_a_job_names_its_creator_without_a_link_that_leads_nowhere(
    client: Client, teacher: User
) -> None:
    client.force_login(teacher)
    job = enqueue(tasks.found, "go", created_by=teacher)

    page = client.get(page_of(job)).content.decode()

    assert str(teacher) in page
    assert f"/users/user/{teacher.pk}/" not in page


def test_a_user_who_may_not_enter_the_admin_sees_nothing(client: Client, user: User) -> None:
    client.force_login(user)

    assert client.get(reverse(LIST)).status_code == 302


def again(client: Client, *jobs: Job, **more: str) -> Any:
    selected = {"action": "run_again", "_selected_action": [str(job.pk) for job in jobs]}
    return client.post(reverse(LIST), selected | more, follow=True)


def test_running_again_asks_first_and_then_queues(boss: Client, failed: Job) -> None:
    succeeded = run_job(enqueue(tasks.found, "go").pk)
    running = Job.objects.create(name="long", state=Job.State.RUNNING)

    asked = again(boss, failed, succeeded, running).content.decode()
    failed.refresh_from_db()
    assert failed.state == Job.State.FAILED
    assert "2 jobs will run once more" in asked
    assert "1 of them succeeded before" in asked
    assert "1 has not finished" in asked

    done = again(boss, failed, running, confirmed="yes").content.decode()
    failed.refresh_from_db()
    assert "Queued again: 1." in done
    assert (failed.state, failed.attempts, failed.error) == (Job.State.QUEUED, 0, "")
    assert run_job(failed.pk).state == Job.State.FAILED

    assert "No job there had finished" in again(boss, running, confirmed="yes").content.decode()


def test_running_again_needs_the_permission_and_an_own_job(
    client: Client, teacher: User, failed: Job
) -> None:
    own = run_job(enqueue(tasks.found_and_fail, "go", created_by=teacher).pk)
    client.force_login(teacher)
    again(client, own, failed, confirmed="yes")
    assert set(Job.objects.values_list("state", flat=True)) == {Job.State.FAILED}

    teacher.user_permissions.add(Permission.objects.get(codename="run_again_job"))
    again(client, own, failed, confirmed="yes")

    own.refresh_from_db()
    failed.refresh_from_db()
    assert (own.state, failed.state) == (Job.State.QUEUED, Job.State.FAILED)


def test_schedules_are_made_once_and_keep_what_people_changed() -> None:
    make_schedules(using="default")
    entry = PeriodicTask.objects.get(name="Purge old jobs")
    PeriodicTask.objects.update(enabled=False)

    make_schedules(using="default")

    assert not PeriodicTask.objects.get(name="Purge old jobs").enabled
    # What a worker does first.
    current_app.loader.import_default_modules()
    assert entry.task in current_app.tasks


def test_no_schedules_are_made_where_their_tables_are_gone() -> None:
    PeriodicTask.objects.all().delete()

    make_schedules(using="default", apps=Apps())

    assert not PeriodicTask.objects.exists()


@pytest.mark.slow
def test_schedules_are_edited_in_the_admin(boss: Client) -> None:
    make_schedules(using="default")
    entry = PeriodicTask.objects.get(name="Purge old jobs")
    clocked = ClockedSchedule.objects.create(clocked_time="2030-01-01T00:00Z")
    pages = [
        reverse("admin:django_celery_beat_periodictask_changelist"),
        reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk]),
        reverse("admin:django_celery_beat_periodictask_add"),
        reverse("admin:django_celery_beat_crontabschedule_change", args=[entry.crontab_id]),
        reverse("admin:django_celery_beat_clockedschedule_change", args=[clocked.pk]),
        reverse("admin:django_celery_beat_intervalschedule_changelist"),
    ]

    texts = [boss.get(page).content.decode() for page in pages]

    assert "apps.jobs.tasks.purge_old_jobs" in texts[1]
    assert "periodic-task-overrides" not in texts[1]
    run = {"action": "run_tasks", "_selected_action": [entry.pk]}
    boss.post(pages[0], run, follow=True)
    assert Job.objects.get().name == "apps.jobs.tasks.purge_old_jobs"
    assert CrontabSchedule.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "field", "sentence"),
    [
        ({"args": "[1]"}, "args", "The task does not take these arguments: "),
        ({"args": "1"}, "args", "Write a list"),
        ({"kwargs": "[]"}, "kwargs", "Write names and values"),
        ({}, "", ""),
    ],
)
def test_a_schedule_takes_no_arguments_that_its_task_does_not(
    arguments: dict[str, str], field: str, sentence: str
) -> None:
    make_schedules(using="default")
    purge = PeriodicTask.objects.get(name="Purge old jobs")
    form = ScheduleForm(model_to_dict(purge) | {"regtask": purge.task} | arguments, instance=purge)

    assert form.is_valid() == (not field)
    assert not field or str(form.errors[field][0]).startswith(sentence)


def test_beat_puts_a_job_into_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    # It would close the connection that the test's transaction is on.
    monkeypatch.setattr(schedulers, "close_old_connections", lambda: None)
    make_schedules(using="default")
    make_scheduler: Any = Scheduler
    make_entry: Any = schedulers.ModelEntry
    scheduler = make_scheduler(app=current_app, lazy=True)
    entry = make_entry(PeriodicTask.objects.get(name="Purge old jobs"), app=current_app)

    scheduler.apply_entry(entry, producer=scheduler.producer)

    assert Job.objects.get().state == Job.State.QUEUED


def test_running_a_whole_list_again_sends_no_form_with_all_its_rows(
    boss: Client, failed: Job
) -> None:
    other = run_job(enqueue(tasks.found_and_fail, "go").pk)
    asked = again(boss, failed, select_across="1").content.decode()
    assert "2 jobs will run once more" in asked
    assert asked.count('name="_selected_action"') == 1
    assert 'name="select_across" value="1"' in asked

    again(boss, failed, select_across="1", confirmed="yes")
    other.refresh_from_db()
    assert other.state == Job.State.QUEUED
