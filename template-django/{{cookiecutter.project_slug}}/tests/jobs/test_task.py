from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import transaction
from django.utils import timezone

from apps.jobs import sending, services
from apps.jobs.models import Job
from apps.jobs.task import enqueue
from apps.jobs.tasks import purge_old_jobs
from apps.users.models import User
from tests.jobs import tasks
from tests.jobs.plugin import RunJobs, run_job

pytestmark = pytest.mark.django_db


def groups() -> list[str]:
    return list(Group.objects.order_by("name").values_list("name", flat=True))


def test_a_job_is_kept_with_who_asked_for_it(user: User) -> None:
    job = enqueue(tasks.found, "chess", created_by=user, label="Found the chess club")

    kept = Job.objects.get()
    assert (kept.pk, kept.state, kept.args) == (job.pk, Job.State.QUEUED, ["chess"])
    assert (kept.created_by, str(kept)) == (user, "Found the chess club")
    assert groups() == []


def test_every_way_to_call_keeps_a_job_under_the_id_of_the_task() -> None:
    results = [
        tasks.found.delay("a"),
        tasks.found.delay_on_commit("b"),
        tasks.found.apply_async(("c",), task_id=str(uuid4())),
        tasks.found.apply_async_on_commit(kwargs={"name": "d"}),
    ]

    assert {str(job.pk) for job in Job.objects.all()} == {result.id for result in results}


def test_a_stranger_creates_nothing_in_their_name() -> None:
    assert enqueue(tasks.found, "chess", created_by=AnonymousUser()).created_by is None


def test_a_rolled_back_transaction_leaves_no_job() -> None:
    with transaction.atomic():
        tasks.found.delay("chess")
        transaction.set_rollback(True)

    assert not Job.objects.exists()


def test_a_message_is_sent_after_the_commit_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    sent: list[Job] = []
    monkeypatch.setattr(sending, "is_embedded", lambda: False)
    monkeypatch.setattr(sending, "send", sent.append)

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]  # untyped
        job = enqueue(tasks.found, "chess")
        later = tasks.found.apply_async(("go",), countdown=60)
        assert sent == []

    assert sent == [job]
    assert Job.objects.get(pk=later.id).run_at > timezone.now() + timedelta(seconds=50)


def test_embedded_a_worker_finds_the_job_by_itself(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    sent: list[Job] = []
    monkeypatch.setattr(sending, "send", sent.append)
    sending.news.clear()

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]  # untyped
        job = enqueue(tasks.found, "chess")

    assert sent == []
    assert sending.news.is_set()
    assert job.due_at == job.run_at


def test_wrong_arguments_are_refused_where_they_are_written() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        enqueue(tasks.found, nmae="chess")


def test_options_that_the_ledger_does_not_keep_are_refused() -> None:
    with pytest.raises(TypeError, match="does not keep link"):
        tasks.found.apply_async(("chess",), link=tasks.found.s())


def test_a_job_runs_with_its_arguments_and_keeps_its_result(run_jobs: RunJobs) -> None:
    enqueue(tasks.found, name="chess")
    tasks.year_of.delay(date(2026, 2, 3))

    first, second = run_jobs()

    assert groups() == ["chess"]
    assert (first.state, first.attempts, first.result) == ("succeeded", 1, "founded chess")
    assert first.duration is not None
    assert second.result == "2026"


def test_jobs_that_a_job_adds_run_too(run_jobs: RunJobs) -> None:
    enqueue(tasks.found_two, "go")

    assert [job.state for job in run_jobs()] == ["succeeded"] * 3
    assert groups() == ["go 1", "go 2"]


def test_a_body_that_fails_leaves_nothing_but_its_error() -> None:
    job = run_job(enqueue(tasks.found_and_fail, "chess").pk)

    assert groups() == []
    assert (job.state, job.error) == ("failed", "ValueError: no more groups")
    assert job.is_finished


def test_the_same_message_again_does_nothing() -> None:
    job = enqueue(tasks.found, "chess")

    run_job(job.pk)
    again = run_job(job.pk)

    assert groups() == ["chess"]
    assert again.attempts == 1


def test_a_message_for_a_job_that_runs_elsewhere_does_nothing() -> None:
    job = enqueue(tasks.found, "chess")
    assert services.claim(job.pk)

    assert run_job(job.pk).state == Job.State.RUNNING
    assert groups() == []


def test_a_message_does_not_bring_a_later_job_forward() -> None:
    job = tasks.found.apply_async(("chess",), countdown=60)

    assert run_job(job.id).state == Job.State.QUEUED


def test_an_expired_job_fails_instead_of_running() -> None:
    expired = tasks.found.apply_async(("chess",), expires=timezone.now() - timedelta(seconds=1))
    in_time = tasks.found.apply_async(("go",), expires=60)

    assert "expired" in run_job(expired.id).error
    assert run_job(in_time.id).state == Job.State.SUCCEEDED
    assert groups() == ["go"]


def take_over(pk: UUID) -> Callable[[], object]:
    return lambda: Job.objects.filter(pk=pk).update(lease=uuid4())


def test_a_worker_that_lost_its_lease_cannot_commit() -> None:
    job = enqueue(tasks.meanwhile, "chess")
    tasks.happenings.append(take_over(job.pk))

    after = run_job(job.pk)

    assert groups() == []
    assert (after.state, after.error) == (Job.State.RUNNING, "")


def test_a_worker_that_lost_its_lease_stops_at_the_next_step() -> None:
    job = enqueue(tasks.meanwhile_in_steps, "chess")
    tasks.happenings.append(take_over(job.pk))

    after = run_job(job.pk)

    assert groups() == []
    assert (after.state, after.progress_done) == (Job.State.RUNNING, 0)


def test_a_worker_that_lost_its_lease_cannot_report_a_failure() -> None:
    job = services.claim(enqueue(tasks.found, "chess").pk)
    assert job
    take_over(job.pk)()

    with pytest.raises(services.LeaseLostError):
        services.fail(job, "too late")
    with pytest.raises(services.LeaseLostError):
        services.retry_later(job, timezone.now(), "too late", (), {})
    assert not services.lose(job, "too late")


def test_named_exceptions_are_retried_with_backoff(tmp_path: Path, run_jobs: RunJobs) -> None:
    answers = tmp_path / "answers"
    answers.write_text("refused\n")
    began = timezone.now()
    job = run_job(enqueue(tasks.call, str(answers)).pk)

    assert (job.state, job.attempts, job.retries) == (Job.State.QUEUED, 1, 1)
    assert job.error == "ConnectionError: refused"
    # A random part of the eight seconds, which may be none.
    assert began <= job.run_at <= timezone.now() + timedelta(seconds=8)
    assert groups() == []

    (done,) = run_jobs(later=True)
    assert (done.state, done.attempts, done.error) == (Job.State.SUCCEEDED, 2, "")
    assert groups() == ["called 0"]


def test_retries_end_with_the_last_error(tmp_path: Path, run_jobs: RunJobs) -> None:
    answers = tmp_path / "answers"
    answers.write_text("first\nsecond\nthird\nfourth\n")
    enqueue(tasks.call, str(answers))

    *_, job = run_jobs(later=True)

    assert (job.state, job.attempts, job.retries) == (Job.State.FAILED, 3, 2)
    assert job.error == "ConnectionError: third"


def test_a_task_may_retry_with_other_arguments(run_jobs: RunJobs) -> None:
    job = run_job(enqueue(tasks.call_another, "first").pk)

    assert (job.state, job.args) == (Job.State.QUEUED, ["second"])
    assert run_jobs() == []
    assert run_jobs(later=True)[0].result == "second"


def test_what_the_database_interrupts_is_tried_again(run_jobs: RunJobs) -> None:
    job = run_job(enqueue(tasks.interrupted).pk)
    assert (job.state, job.error) == (Job.State.QUEUED, "OperationalError: deadlock detected")

    *_, job = run_jobs(later=True)

    assert (job.state, job.attempts) == (Job.State.FAILED, 5)
    assert "happened 5 times" in job.error


def test_a_long_task_shows_its_progress() -> None:
    job = run_job(enqueue(tasks.found_in_steps, "go", 3).pk)

    assert (job.state, job.progress_done, job.progress_total) == (Job.State.SUCCEEDED, 3, 3)
    assert groups() == ["go 0", "go 1", "go 2"]


def test_one_transaction_has_no_progress() -> None:
    assert "needs atomic=False" in run_job(enqueue(tasks.advance_anyway).pk).error


def test_a_task_called_like_a_function_needs_no_job() -> None:
    tasks.found("chess")
    tasks.found_in_steps("go", 1)

    assert groups() == ["chess", "go 0"]
    assert not Job.objects.exists()


def test_old_jobs_are_purged(run_jobs: RunJobs, settings: object) -> None:
    old, recent = run_job(tasks.found.delay("a").id), run_job(tasks.found.delay("b").id)
    waiting = enqueue(tasks.found, "c")
    long_ago = timezone.now() - timedelta(days=31)
    Job.objects.exclude(pk=recent.pk).update(created_at=long_ago, run_at=long_ago)
    Job.objects.filter(pk=old.pk).update(finished_at=long_ago)

    purge = run_job(purge_old_jobs.delay().id)

    assert purge.result == "1"
    assert set(Job.objects.values_list("pk", flat=True)) == {recent.pk, waiting.pk, purge.pk}
