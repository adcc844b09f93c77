"""Faults under load, in generated FastAPI projects that receive webhooks: each has to leave every acknowledged event
with exactly one effect, nothing stuck, and nothing half-done.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncpg

from proof import brokers
from proof.brokers import Broker
from proof.faults import NotProved
from proof.faults.clock import Clock
from proof.faults.disk import SmallDisk
from proof.faults.load import LENDER, Load
from proof.faults.outcome import Outcome, add_probe, newest, open_at_all, open_up_to, outcome_of
from proof.faults.service import Service
from proof.generate import with_copier
from proof.postgres import OwnServer
from proof.processes import clean_environment, run
from proof.senders import Evidence, sources

RATE = 50  # events a second
LEASE = 2  # seconds; a project's own is 30
RECOVERS_WITHIN = 90  # seconds; a message that the broker lost is sent again after 30
SETTLES_WITHIN = 2 * LEASE  # seconds; what comes twice has come by then
HOUR = 3600
DISK = {"sqlite": 16_000_000, "postgresql": 160_000_000}  # bytes
SUBJECTS = tuple(
    (database, broker) for broker in ("embedded", "redis", "rabbitmq") for database in ("sqlite", "postgresql")
)


@dataclass
class Subject:
    """A generated project, installed, with the probe in it, and servers of its own."""

    database: str
    broker: str
    project: Path
    folder: Path
    own_broker: Broker | None

    @property
    def name(self) -> str:
        return f"{self.broker}, {'SQLite' if self.database == 'sqlite' else 'PostgreSQL'}"


@contextmanager
def installed(template: Path, folder: Path, database: str, broker: str) -> Iterator[Subject]:
    """Raises NotProved where there is no such broker."""
    if broker != "embedded" and (reason := brokers.why_not(broker)):
        raise NotProved(reason)
    folder.mkdir()
    answers = {
        "project_name": f"Faults {database} {broker}",
        "database": database,
        "broker": broker,
        "webhooks": "hmac",
        "auth": "none",
        "example": False,
    }
    project = with_copier(template, answers, folder)
    add_probe(project)
    run(["uv", "sync", "--quiet", "--no-dev"], project, clean_environment())
    with ExitStack() as stack:
        own = None if broker == "embedded" else stack.enter_context(brokers.own(broker))
        yield Subject(database, broker, project, folder, own)


@dataclass
class Trial:
    """One fault on one subject: a service under load that begins with an empty database."""

    subject: Subject
    service: Service
    evidence: Evidence
    seed: str
    rounds: int
    say: Callable[[str], None]
    server: OwnServer | None = None
    clock: Clock | None = None
    small_disk: SmallDisk | None = None
    recovered: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    random: Random = field(init=False)
    load: Load = field(init=False)
    _recovering: list["asyncio.Task[None]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 (the same each time)
        self.load = Load(self.service.port, Random(f"{self.seed} load"), RATE)  # noqa: S311 (as above)

    async def each_round(self, rounds: int) -> AsyncIterator[None]:
        for number in range(1, rounds + 1):
            self.say(f"round {number} of {rounds}, {self.load.acknowledged} events acknowledged")
            await self.pause(0.3, 2)
            yield
            self._recovering.append(asyncio.create_task(self._recover()))

    async def pause(self, shortest: float, longest: float) -> None:
        await asyncio.sleep(self.random.uniform(shortest, longest))

    async def _recover(self) -> None:
        """How long it takes until all that came before the fault ended is done."""
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < RECOVERS_WITHIN:
            try:
                number = number or await asyncio.to_thread(newest, self.evidence)
                if not await asyncio.to_thread(open_up_to, self.evidence, number):
                    self.recovered.append(time.monotonic() - began)
                    return
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error):
                pass  # it is away, or busy
            await asyncio.sleep(0.1)
        self.wrong.append(f"What had come before a fault was not done {RECOVERS_WITHIN} s after it.")

    async def settle(self) -> None:
        """Stop the load, and wait until nothing is left to do, and a moment longer."""
        self.say("waiting for what is left")
        if refused := await self.load.stop():
            self.wrong.append(f"{refused} events were still refused at the end.")
        await asyncio.gather(*self._recovering)
        end = time.monotonic() + RECOVERS_WITHIN
        while await asyncio.to_thread(open_at_all, self.evidence) and time.monotonic() < end:
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLES_WITHIN)

    def cancel(self) -> None:
        self.load.cancel()
        for task in self._recovering:
            task.cancel()


async def kill_web(trial: Trial) -> None:
    async for _ in trial.each_round(trial.rounds):
        trial.service.kill("web")
        await trial.pause(0, 0.5)
        await trial.service.start("web")


async def kill_worker(trial: Trial) -> None:
    async for _ in trial.each_round(trial.rounds):
        name = trial.random.choice(trial.service.helpers)
        trial.service.kill(name)
        await trial.pause(0, 0.5)
        await trial.service.start(name)


async def freeze_worker(trial: Trial) -> None:
    """For longer than its lease: it comes back to work that others have done."""
    async for _ in trial.each_round(few(trial)):
        name = trial.random.choice(trial.service.helpers)
        trial.service.freeze(name)
        await trial.pause(1.2 * LEASE, 2 * LEASE)
        trial.service.thaw(name)


async def restart_database(trial: Trial) -> None:
    assert trial.server is not None
    async for _ in trial.each_round(few(trial)):
        trial.server.stop()
        await trial.pause(0, 3)
        await asyncio.to_thread(trial.server.start)


async def empty_broker(trial: Trial) -> None:
    broker = trial.subject.own_broker
    assert broker is not None
    async for _ in trial.each_round(few(trial)):
        broker.stop()
        broker.empty()
        await trial.pause(0, 2)
        await asyncio.to_thread(broker.start)


async def stop_broker(trial: Trial) -> None:
    """Or freeze it: then it takes connections and says nothing. Events are acknowledged all the same."""
    broker = trial.subject.own_broker
    assert broker is not None
    async for _ in trial.each_round(few(trial)):
        before = trial.load.acknowledged
        if trial.random.random() < 0.5:
            broker.freeze()
            await trial.pause(3, 8)
            broker.thaw()
        else:
            broker.stop()
            await trial.pause(3, 8)
            await asyncio.to_thread(broker.start)
        if trial.load.acknowledged == before:
            trial.wrong.append("Nothing was acknowledged while the broker was away.")


async def fill_disk(trial: Trial) -> None:
    assert trial.small_disk is not None
    async for _ in trial.each_round(few(trial)):
        end = time.monotonic() + trial.random.uniform(1, 4)
        while time.monotonic() < end:
            # Again and again: what is given back in between is taken, too.
            trial.small_disk.fill()
            await asyncio.sleep(0.1)
        trial.small_disk.make_space()
        if trial.server is not None and trial.server.ended:
            # PostgreSQL ends when it cannot write its log: somebody starts it again.
            await asyncio.to_thread(trial.server.start)


async def move_clock(trial: Trial) -> None:
    """By an hour, to either side, and to where it was."""
    assert trial.clock is not None
    async for _ in trial.each_round(few(trial)):
        trial.clock.move(trial.random.choice((-HOUR, HOUR)))
        await trial.pause(1, 3)
        trial.clock.move(0)


def few(trial: Trial) -> int:
    """For what takes longer than to kill a process."""
    return max(1, trial.rounds // 4)


@dataclass(frozen=True)
class Fault:
    name: str
    happen: Callable[[Trial], Awaitable[None]]
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    brokers: tuple[str, ...] = ("embedded", "redis", "rabbitmq")

    def concerns(self, database: str, broker: str) -> bool:
        return database in self.databases and broker in self.brokers


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill-web", kill_web),
        Fault("kill-worker", kill_worker),
        Fault("freeze-worker", freeze_worker),
        Fault("restart-database", restart_database, databases=("postgresql",)),
        Fault("empty-broker", empty_broker, brokers=("redis", "rabbitmq")),
        Fault("stop-broker", stop_broker, brokers=("redis", "rabbitmq")),
        Fault("fill-disk", fill_disk),
        Fault("move-clock", move_clock),
    )
}


@dataclass(frozen=True)
class Row:
    subject: str
    fault: str
    rounds: int
    outcome: Outcome
    recovery: float  # seconds, the longest
    seconds: float
    wrong: list[str]
    logs: Path


async def bring_about(fault: Fault, subject: Subject, *, rounds: int, seed: str, say: Callable[[str], None]) -> Row:
    """Raises NotProved."""
    began = time.monotonic()
    folder = subject.folder / fault.name
    folder.mkdir()
    async with AsyncExitStack() as stack:
        trial = await stack.enter_async_context(prepared(fault, subject, folder, rounds, seed, say))
        trial.load.start()
        stack.callback(trial.cancel)
        wrong = []
        try:
            await fault.happen(trial)
            await trial.settle()
        except TimeoutError as error:
            wrong.append(str(error))
        wrong += refusals(trial.load)
        wrong += [f"The process {name} ended by itself." for name in trial.service.ended()]
        trial.service.kill_all()
        if trial.server is not None:
            await asyncio.to_thread(trial.server.start)
        outcome = await asyncio.to_thread(outcome_of, trial.load.sent, trial.evidence)
        if subject.database == "sqlite" and (trial.evidence.ask("PRAGMA integrity_check") != [("ok",)]):
            wrong.append("The file of the database is damaged.")
        return Row(
            subject.name,
            fault.name,
            len(trial.recovered),
            outcome,
            max(trial.recovered, default=0),
            time.monotonic() - began,
            list(dict.fromkeys([*wrong, *trial.wrong, *outcome.violations])),
            folder,
        )


def refusals(load: Load) -> list[str]:
    """Whoever cannot keep an event says so, with 503; anything else is a mistake of ours or of the service."""
    answers = Counter(status for sent in load.sent for status in sent.answers)
    if not load.acknowledged:
        return ["Nothing was acknowledged."]
    bad = {status: count for status, count in answers.items() if status not in (200, 503, None)}
    return [f"{count} requests were answered with {status}." for status, count in bad.items()]


@asynccontextmanager
async def prepared(
    fault: Fault, subject: Subject, folder: Path, rounds: int, seed: str, say: Callable[[str], None]
) -> AsyncIterator[Trial]:
    settings = {"APP_WEBHOOK_SOURCES": sources([LENDER]), "APP_JOB_LEASE": str(LEASE)}
    small_disk = server = own_clock = None
    home = folder / "database"
    if fault.happen is fill_disk:
        small_disk = SmallDisk(home, DISK[subject.database])
    else:
        home.mkdir()
    if fault.happen is move_clock:
        own_clock = await asyncio.to_thread(Clock, folder)
        settings |= own_clock.environment
    async with AsyncExitStack() as stack:
        if subject.database == "postgresql":
            server = OwnServer(home / "postgresql", folder / "postgresql.log")
            # Small pieces of its log: a disk is full when it needs a new one.
            await asyncio.to_thread(server.create, "--wal-segsize=1")
            stack.callback(server.stop)
            await asyncio.to_thread(server.start)
            url = await asyncio.to_thread(server.new_database)
        else:
            url = f"sqlite:///{home}/app.db"
        if (broker := subject.own_broker) is not None:
            broker.stop()
            broker.empty()
            await asyncio.to_thread(broker.start)
            settings["APP_BROKER_URL"] = broker.url
        names = ["web", "worker 1", "worker 2"] + ["beat"] * (broker is not None)
        if fault.happen is kill_web and broker is None:
            # Those workers die with it.
            names = ["web"]
        else:
            settings["APP_EMBEDDED_WORKER"] = "false"
        environment = clean_environment() | {"APP_DATABASE_URL": url} | settings
        service = await stack.enter_async_context(Service(subject.project, folder, environment, names))
        evidence = Evidence(url)
        await asyncio.to_thread(evidence.create_effects)
        yield Trial(subject, service, evidence, seed, rounds, say, server, own_clock, small_disk)
