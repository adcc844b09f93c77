from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from apps.core import deletion
from apps.jobs.models import Job
from apps.users.models import User
from tests.jobs.plugin import RunJobs
from tests.users.factories import make_user

pytestmark = pytest.mark.django_db

GROUPS = "admin:auth_group_changelist"


@pytest.fixture
def boss(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows are many."""
    monkeypatch.setattr(deletion, "ROWS_IN_REQUEST", 2)
    monkeypatch.setattr(deletion, "AT_ONCE", 2)


def make_groups(number: int) -> list[Group]:
    return Group.objects.bulk_create([Group(name=f"Group {one:04}") for one in range(number)])


def run(client: Client, *rows: Group, **values: Any) -> Any:
    chosen = {"action": "delete_selected", ACTION_CHECKBOX_NAME: [row.pk for row in rows]}
    return client.post(reverse(GROUPS), chosen | values)


def test_a_few_rows_are_deleted_at_once_after_a_confirmation(boss: Client) -> None:
    one, two, kept = make_groups(3)
    asked = run(boss, one, two).content.decode()
    assert "Delete 2 groups?" in asked
    assert "Group 0001" in asked
    assert Group.objects.count() == 3

    answer = run(boss, one, two, post="yes")
    assert answer.headers["Location"] == reverse(GROUPS)
    assert list(Group.objects.all()) == [kept]
    assert LogEntry.objects.filter(action_flag=DELETION).count() == 2
    assert not Job.objects.exists()


@pytest.mark.slow
def test_a_whole_list_is_asked_about_on_a_short_page_and_deleted_by_a_worker(
    boss: Client, administrator: User, run_jobs: RunJobs
) -> None:
    groups = make_groups(1_200)
    asked = run(boss, groups[0], select_across="1").content.decode()
    assert "Delete 1,200 groups?" in asked
    assert "and 1,180 more" in asked
    assert "A worker does it" in asked
    # Django takes a thousand fields and no more.
    assert asked.count("<input") < 20

    answer = run(boss, groups[0], select_across="1", post="yes")
    job = Job.objects.get()
    assert answer.headers["Location"] == reverse("admin:jobs_job_change", args=[job.pk])
    assert (job.label, job.created_by) == ("Delete 1,200 groups", administrator)
    # Its page shows the call, but not all of these rows.
    assert f"{groups[-1].pk}]" not in boss.get(answer.headers["Location"]).content.decode()
    assert Group.objects.count() == 1_200

    (job,) = run_jobs()
    assert (job.state, job.result) == ("succeeded", "Deleted: 1,200 groups.")
    assert (job.progress_done, job.progress_total) == (1_200, 1_200)
    assert not Group.objects.exists()
    assert LogEntry.objects.filter(action_flag=DELETION).count() == 1_200


def test_a_search_narrows_what_is_deleted(boss: Client) -> None:
    groups = make_groups(20)
    chosen = {"action": "delete_selected", ACTION_CHECKBOX_NAME: groups[0].pk}
    boss.post(f"{reverse(GROUPS)}?q=000", chosen | {"select_across": "1", "post": "yes"})
    assert list(Group.objects.order_by("pk")) == groups[10:]


def test_what_is_gone_already_is_no_error(boss: Client, small: None, run_jobs: RunJobs) -> None:
    groups = make_groups(5)
    run(boss, *groups, post="yes")
    Group.objects.filter(pk__in=[group.pk for group in groups[:3]]).delete()
    (job,) = run_jobs()
    assert job.result == "Deleted: 2 groups."

    warned = boss.post(
        reverse(GROUPS),
        {"action": "delete_selected", ACTION_CHECKBOX_NAME: groups[0].pk},
        follow=True,
    )
    assert "None of the chosen rows is there." in warned.content.decode()


def test_a_worker_deletes_nothing_for_who_may_not_any_more(
    boss: Client, administrator: User, small: None, run_jobs: RunJobs
) -> None:
    run(boss, *make_groups(5), post="yes")
    User.objects.filter(pk=administrator.pk).update(is_superuser=False)
    (job,) = run_jobs()
    assert (job.state, job.error) == ("failed", "You may not delete groups.")
    assert Group.objects.count() == 5


def test_a_deletion_that_was_cut_off_goes_on(administrator: User, small: None) -> None:
    pks = [group.pk for group in make_groups(5)]

    def die(done: int, total: int) -> None:
        if done:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        deletion.delete_in_steps(Group, pks, administrator, die)
    assert Group.objects.count() == 3
    text = deletion.delete_in_steps(Group, pks, administrator, lambda done, total: None)
    assert text == "Deleted: 3 groups."


def test_nobody_deletes_without_the_permission(client: Client) -> None:
    client.force_login(make_user("helper", is_staff=True))
    (group,) = make_groups(1)
    assert run(client, group, post="yes").status_code in (302, 403)
    assert Group.objects.exists()
