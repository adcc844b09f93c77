"""Workers killed, brokers stopped and emptied, messages repeated: with real processes, in generated projects."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from proof.brokers import Broker
from proof.faults import django as faults
from proof.faults.django import Figures, Subject
from proof.generate import with_copier
from proof.postgres import Server
from proof.processes import clean_environment, run
from tests.brokers import GIVEN, found_or_own

# Each broker with a database it goes with; together they are all of both.
DATABASES = {"embedded": "sqlite", "redis": "postgresql", "rabbitmq": "postgresql"}
LEASE = 3  # seconds; a project's own is 10
LONGEST_RECOVERY = 15  # seconds from kill -9 to the effect, with the lease that a project has

on_every_broker = pytest.mark.parametrize("setup", list(DATABASES), indirect=True)
on_every_server = pytest.mark.parametrize("setup", list(GIVEN), indirect=True)


@dataclass
class Setup:
    """A project, and the broker it was generated for: our own, one that was given, or none."""

    project: Path
    environment: dict[str, str]
    broker: Broker | None
    broker_url: str
    new_database: Callable[[], str]

    def subject(self, lease: float = LEASE) -> Subject:
        return faults.prepare(self.project, self.environment, self.broker_url, self.new_database(), lease)

    def own_broker(self) -> Broker:
        """Skips the test, with a sentence, when the broker is not ours to stop."""
        if self.broker is None:
            pytest.skip(f"{self.project.name}: a broker that was given is not ours to stop")
        return self.broker


@pytest.fixture(scope="module")
def setup(request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    name: str = request.param
    database = DATABASES[name]
    with ExitStack() as stack:
        url, broker = stack.enter_context(found_or_own(name))
        folder = tmp_path_factory.mktemp(name)
        answers = {
            "stack": "django",
            "project_name": f"Faults {name}",
            "broker": name,
            "database": database,
            "example": False,
            "admin_extras": [],
        }
        project = with_copier(template, answers, folder)
        environment = clean_environment()
        run(["uv", "sync", "--quiet"], project, environment)
        faults.add_probe(project)
        server = Server()
        stack.callback(server.stop)
        numbers = iter(range(1000))

        def new_database() -> str:
            if database == "postgresql":
                return stack.enter_context(server.new_database())
            return f"sqlite:///{folder}/{next(numbers)}.db"

        yield Setup(project, environment, broker, url, new_database)


def report(what: str, setup: Setup, figures: Figures) -> None:
    told = ", ".join(f"{name}: {value:.2f}" for name, value in figures.items())
    print(f"\n{setup.project.name}: {what}: {told}")


@on_every_broker
def test_a_task_whose_worker_is_killed_takes_effect_exactly_once_and_soon(setup: Setup) -> None:
    embedded = not setup.broker_url
    figures = faults.kill_in_mid_task(setup.subject(10 if embedded else LEASE))
    report("kill -9", setup, figures)
    assert figures["kill -9 to effect"] < LONGEST_RECOVERY


@on_every_broker
def test_a_transaction_longer_than_its_lease_is_neither_lost_nor_done_twice(setup: Setup) -> None:
    report("long bodies", setup, faults.long_bodies_and_short_leases(setup.subject(lease=1)))


@on_every_broker
def test_a_message_that_comes_again_changes_nothing(setup: Setup) -> None:
    report("duplicates", setup, faults.duplicate_delivery(setup.subject()))


@on_every_broker
def test_a_commit_that_is_rolled_back_leaves_no_job(setup: Setup) -> None:
    report("rolled back", setup, faults.commit_rolled_back(setup.subject()))


@on_every_broker
def test_many_jobs_are_kept_quickly_and_all_done(setup: Setup) -> None:
    report("many jobs", setup, faults.many_jobs(setup.subject()))


@on_every_server
def test_a_broker_that_lost_everything_loses_no_job(setup: Setup) -> None:
    broker = setup.own_broker()
    report("broker restarted", setup, faults.broker_restarted(setup.subject(), broker))


@on_every_server
def test_a_broker_that_is_down_holds_up_no_request_and_loses_no_job(setup: Setup) -> None:
    broker = setup.own_broker()
    report("broker down", setup, faults.broker_down(setup.subject(), broker))
