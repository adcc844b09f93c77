import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.worker import state
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from django.utils import timezone

from apps.jobs import consumer, sending, services, sweeper, task
from apps.jobs.leases import Leases, leases
from apps.jobs.models import Job
from apps.jobs.sending import Outbox
from apps.jobs.task import enqueue
from config.broker import task_publish_retry_policy
from tests.jobs import tasks
from tests.jobs.plugin import run_job

# What the tests' plugin takes away.
RENEW = Leases._renew


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What is sent, as if a broker were there."""
    sent: list[Job] = []
    monkeypatch.setattr(sending, "send", sent.append)
    monkeypatch.setattr(sending, "is_embedded", lambda: False)
    # On SQLite a slow look is taken for one that had to wait for a writer. Here is no other
    # writer, but the machine may be busy.
    monkeypatch.setattr(sweeper, "AT_ONCE_WRITABLE", 60)
    return sent


@pytest.fixture
def lease() -> float:
    """How long the leases of `short_leases` last, in seconds."""
    return 0.2


@pytest.fixture
def short_leases(lease: float, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Leases:
    """Short leases, renewed by a thread that knows it from its start."""
    settings.JOB_LEASE = lease
    monkeypatch.setattr(Leases, "_renew", RENEW)
    fresh = Leases()
    monkeypatch.setattr(task, "leases", fresh)
    monkeypatch.setattr(sweeper, "leases", fresh)
    return fresh


def age(job: Job, seconds: float = 3600) -> None:
    then = timezone.now() - timedelta(seconds=seconds)
    Job.objects.filter(pk=job.pk).update(due_at=then)


@pytest.mark.django_db
def test_looking_costs_one_query_when_nothing_is_due(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    tasks.found.apply_async(("chess",), countdown=60)

    with django_assert_num_queries(1):
        assert sweeper.sweep(4) == []


@pytest.mark.django_db
def test_a_job_whose_worker_died_is_given_to_another(sent: list[Job]) -> None:
    job = services.claim(enqueue(tasks.found, "chess").pk)
    assert job
    assert sweeper.sweep(4) == []
    age(job)

    sweeper.sweep(4)
    sweeper.sweep(4)

    assert [one.pk for one in sent] == [job.pk]
    with pytest.raises(services.LeaseLostError):
        services.succeed(job, None)
    assert run_job(job.pk).attempts == 2
    assert Group.objects.count() == 1


@pytest.mark.django_db
def test_a_job_that_kills_its_workers_fails_in_the_end(sent: list[Job]) -> None:
    job = enqueue(tasks.found, "chess")
    for _ in range(5):
        assert services.claim(job.pk)
        age(job)
        sweeper.sweep(4)

    job.refresh_from_db()
    assert (job.state, job.attempts) == (Job.State.FAILED, 5)
    assert "happened 5 times" in job.error


@pytest.mark.django_db
def test_a_message_that_was_lost_is_sent_again_more_and_more_rarely(sent: list[Job]) -> None:
    job = enqueue(tasks.found, "chess")
    waits = []
    for _ in range(3):
        age(job)
        sweeper.sweep(1)
        job.refresh_from_db()
        assert job.due_at
        waits.append(round((job.due_at - timezone.now()).total_seconds()))

    assert len(sent) == 3
    assert waits == [20, 40, 80]


@pytest.mark.django_db
def test_a_busy_worker_does_not_repeat_what_waits_its_turn(sent: list[Job]) -> None:
    waiting, retried = enqueue(tasks.found, "chess"), enqueue(tasks.found, "go")
    Job.objects.filter(pk=retried.pk).update(sends=0)
    age(waiting)
    age(retried)

    sweeper.sweep(0)

    assert sent == [retried]


@pytest.mark.django_db
def test_nothing_is_sent_while_the_broker_is_down(
    sent: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    age(enqueue(tasks.found, "chess"))
    monkeypatch.setattr(sending.outbox, "_pause_ends", time.monotonic() + 60)

    assert sweeper.sweep(4) == []


@pytest.mark.django_db
def test_a_worker_that_lost_its_broker_sends_nothing_until_it_is_back(
    sent: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[int] = []
    monkeypatch.setattr(sweeper, "on_connected", connected.append)
    for name in ("on_ready", "on_close"):
        monkeypatch.setattr(consumer.Consumer.__base__, name, lambda self: None)
    worker = object.__new__(consumer.Consumer)
    vars(worker)["controller"] = SimpleNamespace(concurrency=3)
    job = enqueue(tasks.found, "chess")
    age(job)

    worker.on_close()
    assert sweeper.sweep(4) == []
    job.refresh_from_db()
    assert job.sends == 1
    worker.on_ready()

    assert connected == [3]
    assert sweeper.sweep(4) == sent == [job]


def test_a_worker_looks_for_its_broker_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    connection = SimpleNamespace(ensure_connection=lambda **options: asked.append(options))
    monkeypatch.setattr(
        consumer.Consumer.__base__, "ensure_connected", lambda self, conn: conn.ensure_connection()
    )

    object.__new__(consumer.Consumer).ensure_connected(connection)

    assert asked == [{"interval_max": consumer.LONGEST_PAUSE}]


@pytest.mark.django_db
def test_everything_is_sent_again_when_the_broker_comes_back(sent: list[Job]) -> None:
    job = enqueue(tasks.found, "chess")
    later = tasks.found.apply_async(("go",), countdown=60)
    assert sweeper.sweep(4) == []

    watch = sweeper.Sweeper(2)
    watch.broker_came_back()
    watch.look()

    assert sent == [job]
    assert later.id != str(job.pk)


@pytest.mark.django_db
def test_embedded_a_worker_takes_what_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Job] = []
    monkeypatch.setattr(sending, "send", sent.append)
    jobs = [enqueue(tasks.found, str(number)) for number in range(3)]

    assert sweeper.sweep(0) == []
    assert sweeper.sweep(2) == jobs[:2]
    assert sweeper.sweep(2) == jobs[2:]


@pytest.mark.django_db
def test_a_sweep_that_the_database_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(free: int) -> list[Job]:
        raise OperationalError("database is locked")

    monkeypatch.setattr(sweeper, "sweep", refuse)
    monkeypatch.setattr(connection, "close", lambda: None)

    sweeper.Sweeper(2).look()


def test_a_worker_sweeps_from_ready_until_it_stops(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    ended: list[int] = []
    exited = threading.Event()
    monkeypatch.setattr(sweeper, "_sweeper", None)
    monkeypatch.setattr(sweeper, "EMBEDDED_PAUSE", 0.02)
    monkeypatch.setattr(sweeper.Sweeper, "look", lambda self: looked.set())
    settings.ENV = settings.ENV.model_copy(update={"shutdown_timeout": 0.02})

    def exit_with(code: int) -> None:
        ended.append(code)
        exited.set()

    monkeypatch.setattr(os, "_exit", exit_with)
    sweeper.on_connected(3)
    sweeper.on_connected(3)
    sweeper.look_for_more()
    watch = sweeper._sweeper
    assert watch is not None
    assert looked.wait(30)
    sweeper.end_in_time()
    watch._thread.join(30)

    assert not watch._thread.is_alive()
    assert exited.wait(30)
    assert ended == [0]


def test_a_task_that_does_not_end_is_cut_off(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    settings.ENV = settings.ENV.model_copy(update={"shutdown_timeout": 0.1})
    monkeypatch.setattr(state, "reserved_requests", {"a task"})
    monkeypatch.setattr(os, "_exit", ended.append)
    began = time.monotonic()

    sweeper._end()

    assert ended == [0]
    assert time.monotonic() - began >= 0.1


def test_a_broker_that_is_down_neither_fails_nor_holds_up_who_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Celery(broker="amqp://127.0.0.1:1//", set_as_current=False)
    app.conf.task_publish_retry_policy = task_publish_retry_policy
    outbox, send, answered = Outbox(app), app.send_task, threading.Event()

    def send_slowly(*args: Any, **options: Any) -> Any:
        assert answered.wait(30)
        return send(*args, **options)

    monkeypatch.setattr(app, "send_task", send_slowly)

    assert outbox.put(Job(name="some.task"))
    assert outbox.put(Job(name="some.task", options={"queue": "slow", "expires": None}))
    answered.set()

    assert outbox.flush(30)
    assert outbox.is_down


def test_an_outbox_that_is_full_leaves_the_job_to_the_sweepers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 1)
    outbox = Outbox(Celery(broker="memory://", set_as_current=False))
    monkeypatch.setattr(outbox, "_send", lambda: None)

    assert outbox.put(Job(name="some.task"))
    assert not outbox.put(Job(name="some.task"))
    assert not outbox.flush(0.02)


def test_a_message_says_no_more_than_which_job() -> None:
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.task_default_queue = "of-this-test"
    outbox = Outbox(app)

    outbox.put(job := Job(name="some.task", args=["a secret"]))
    assert outbox.flush(30)

    with app.connection_for_read() as broker, broker.SimpleQueue("of-this-test") as queue:
        message = queue.get(timeout=2)
    assert message.headers["id"] == str(job.pk)
    assert "secret" not in str(message.payload)


def test_a_forked_process_has_an_outbox_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sending.outbox
    monkeypatch.setattr(sending, "outbox", before)

    sending.start_anew_after_a_fork()

    assert sending.outbox is not before


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lease", [2.0])
def test_a_body_longer_than_its_lease_is_neither_lost_nor_done_twice(
    short_leases: Leases, lease: float, tmp_path: Path
) -> None:
    """On SQLite the body keeps everybody from renewing, and from taking over, too."""
    job = enqueue(tasks.found_slowly, "chess", 1.5 * lease, str(tmp_path / "trace"))

    def work() -> None:
        try:
            run_job(job.pk)
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    while worker.is_alive():
        sweeper.sweep(4)
        time.sleep(0.02)
    worker.join()

    job.refresh_from_db()
    assert (job.state, job.attempts, Group.objects.count()) == (Job.State.SUCCEEDED, 1, 1)
    assert short_leases.held == []


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_leases_are_renewed_while_a_job_runs(short_leases: Leases) -> None:
    job = services.claim(enqueue(tasks.found, "chess").pk)
    assert job
    age(job)
    with short_leases.hold(job.token):
        until(lambda: Job.objects.filter(due_at__gt=job.started_at).exists())
        age(job)
        until(lambda: Job.objects.filter(due_at__gt=job.started_at).exists())
    end(short_leases)


@pytest.mark.django_db
def test_a_worker_does_not_take_over_from_itself(sent: list[Job]) -> None:
    job = services.claim(enqueue(tasks.found, "chess").pk)
    assert job
    age(job)

    with leases.hold(job.token):
        sweeper.sweep(4)
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING

    sweeper.sweep(4)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_renewal_that_fails_is_tried_again(
    short_leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, renewed = threading.Event(), threading.Event()

    def refuse_once(tokens: object) -> int:
        if tried.is_set():
            renewed.set()
            return 1
        tried.set()
        raise OperationalError("database is locked")

    monkeypatch.setattr(services, "renew", refuse_once)
    with short_leases.hold(uuid4()):
        assert renewed.wait(30)
    end(short_leases)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def end(leases: Leases) -> None:
    """The thread ends by itself when there is nothing to renew."""
    if thread := leases._thread:
        thread.join(30)
        assert not thread.is_alive()
