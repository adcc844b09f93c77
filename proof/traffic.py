"""What senders of webhooks bring in a day, all at once, to a generated project that runs as in production, and
whether each event was kept once and took effect once.
"""

import asyncio
import contextlib
import resource
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, Any

from proof.processes import CommandFailed, clean_environment, free_port, kill, run, server, start
from proof.senders import (
    CONNECTIONS,
    Answer,
    Data,
    EventKey,
    Evidence,
    Hmac,
    N8n,
    N8nHeader,
    Request,
    Sender,
    Standard,
    Stripe,
    Twilio,
    add_probe,
    deliver,
    sources,
)
from proof.stacks import STACKS

A_DAY = 12_000  # events
REPEATED = 0.05  # of them are sent again
FORGED = 0.02  # as many are none
CUSTOMERS = 60  # of each sender
# One of so many takes longer, in seconds: events of other customers overtake it, those of its own may not.
SLOW = 100
LONG = 0.4
MANY = 1_000  # deliveries of one event at once
LARGE = 10_000_000  # bytes
LONGEST_WORK = 300  # seconds until all is done, on a slow machine

# For each answer of `webhooks`, who sends: two of a type where one receiver often has two.
OF_TYPE: Mapping[str, Sequence[tuple[type[Sender], str]]] = {
    "stripe": [(Stripe, "stripe")],
    "twilio": [(Twilio, "sms")],
    "n8n": [(N8n, "n8n"), (N8nHeader, "n8n-internal")],
    "standard": [(Standard, "e-sign")],
    "hmac": [(Hmac, "lender-a"), (Hmac, "lender-b")],
}


def senders_of(types: Iterable[str]) -> list[Sender]:
    return [sender(name) for one in types for sender, name in OF_TYPE[one]]


@dataclass(frozen=True)
class Receiver:
    """A generated project with the probe in it, served."""

    home: str
    evidence: Evidence

    def until_all_is_done(self) -> float:
        """Seconds that it took. Raises CommandFailed when it takes too long."""
        began = time.monotonic()
        while {"waiting", "running"} & set(states := self.evidence.states()):
            if time.monotonic() - began > LONGEST_WORK:
                raise CommandFailed(f"events are not handled after {LONGEST_WORK} s", str(states))
            time.sleep(0.2)
        return time.monotonic() - began


@contextlib.contextmanager
def receiving(
    project: Path,
    senders: Sequence[Sender],
    words: Mapping[str, str],
    database_url: str,
    broker_url: str = "",
    web_processes: int = 1,
) -> Iterator[Receiver]:
    """The web server, which handles nothing itself, a worker and, with a broker, what keeps the schedule. The project
    is installed. Raises CommandFailed when one of them does not start, or does not end cleanly after the block.
    """
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    environment = clean_environment(
        APP_ENVIRONMENT="production",
        APP_SECRET_KEY="a key that only the proof uses, of enough characters",  # noqa: S106 (no secret)
        APP_ALLOWED_HOSTS="127.0.0.1",
        APP_DATABASE_URL=database_url,
        APP_HOST="127.0.0.1",
        APP_PORT=str(port),
        APP_WORKERS=str(web_processes),
        APP_EMBEDDED_WORKER="false",
        APP_WEBHOOK_SOURCES=sources(senders),
        **STACKS["fastapi"].production(words, broker_url),
    )
    add_probe(project, senders)
    run(["uv", "run", "just", "migrate"], project, environment)
    evidence = Evidence(database_url)
    evidence.create_effects()
    helpers = ["worker", "beat"] if broker_url else ["worker"]
    with contextlib.ExitStack() as stack:
        for helper in helpers:
            stack.enter_context(_helper(helper, project, environment))
        stack.enter_context(server(["uv", "run", "just", "start"], project, environment, f"{home}/health/ready"))
        yield Receiver(home, evidence)


@contextlib.contextmanager
def _helper(name: str, project: Path, environment: Mapping[str, str]) -> Iterator[None]:
    command = ["uv", "run", "just", name]
    log = project.parent / f"{project.name}-{name}.log"
    with log.open("w+", encoding="utf-8") as file:
        process = start(command, project, environment, file.fileno())
        try:
            yield
            _end(process, command, file)
        finally:
            kill(process)
    log.unlink()


def _end(process: "subprocess.Popen[str]", command: Sequence[str], log: IO[str]) -> None:
    ended_before = process.poll() is not None
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    said = log.read()
    if ended_before or process.poll() not in (0, -signal.SIGTERM, 128 + signal.SIGTERM) or "Traceback" in said:
        raise CommandFailed(f"{' '.join(command)}: did not end cleanly (exit code {process.poll()})", said)


def a_day(senders: Sequence[Sender], chance: Random, events: int = A_DAY) -> list[Request]:
    """Events of all senders in no order, and among them repetitions, signed anew, and forgeries of each kind."""

    def one(number: int, forged: str = "") -> Request:
        sender = senders[number % len(senders)]
        event_type = (
            f"{'message' if sender.type == 'twilio' else 'application'}.{('received', 'delivered')[number % 2]}"
        )
        customer = number // len(senders) % CUSTOMERS
        seconds = LONG if number % SLOW == 0 else 0
        data: Data = {"customer": f"customer-{customer}", "seconds": seconds, "amount": 100 + number}
        return sender.request(f"event-{number}", event_type, data, forged)

    requests = [one(number) for number in range(events)]
    requests += [one(number) for number in chance.sample(range(events), int(events * REPEATED))]
    for number in range(events, events + int(events * FORGED)):
        forgeries = senders[number % len(senders)].forgeries
        requests.append(one(number, forgeries[number // len(senders) % len(forgeries)]))
    chance.shuffle(requests)
    return requests


@dataclass(frozen=True)
class Figures:
    answers: int
    answered_in: float  # seconds
    median: float  # milliseconds
    p99: float
    done_after: float  # seconds after the last answer

    def __str__(self) -> str:
        rate = self.answers / self.answered_in
        return (
            f"{self.answers} requests answered in {self.answered_in:.1f} s ({rate:,.0f} a second; median"
            f" {self.median:.0f} ms, p99 {self.p99:.0f} ms), all of them done {self.done_after:.1f} s later"
        )


def bring(
    receiver: Receiver, requests: Sequence[Request], connections: int = CONNECTIONS
) -> tuple[list[Answer], Figures]:
    """Deliver all of them, and wait until what was kept is done."""
    answers: list[Answer] = []
    began = time.monotonic()
    asyncio.run(deliver(receiver.home, requests, answers.append, connections))
    answered_in = time.monotonic() - began
    done_after = receiver.until_all_is_done()
    waits = sorted((answer.came - answer.sent) * 1000 for answer in answers)
    median, p99 = (waits[int(len(waits) * part)] for part in (0.5, 0.99))
    return answers, Figures(len(answers), answered_in, median, p99, done_after)


def what_is_wrong(requests: Sequence[Request], answers: Sequence[Answer], evidence: Evidence) -> list[str]:
    """A sentence for each thing, or nothing."""
    genuine = {request.event for request in requests if not request.forged}
    kept, effects = evidence.kept(), evidence.effects()
    found: dict[str, list[Any]] = {
        "requests, of so many, came to an end": [] if len(answers) == len(requests) else [len(answers)],
        "genuine requests were not acknowledged": [
            (answer.request.event, answer.status)
            for answer in answers
            if not answer.request.forged and answer.status != 200
        ],
        "forged requests were not refused": [
            (answer.request.event, answer.request.forged)
            for answer in answers
            if answer.request.forged and answer.status != 401
        ],
        "events have no row, or several": [event for event in genuine if kept[event] != 1],
        "events have no effect, or several": [event for event in genuine if effects[event] != 1],
        "events are kept that nobody sent": [event for event in kept if event not in genuine],
        "effects are of events that nobody sent": [event for event in effects if event not in genuine],
        "events were overtaken": overtaken(answers, evidence.order_of_effects()),
        "states are there beside done": [state for state in evidence.states() if state != "done"],
    }
    return [f"{len(those)} {what}: {those[:5]}" for what, those in found.items() if those]


def overtaken(answers: Iterable[Answer], effects: Iterable[EventKey]) -> list[EventKey]:
    """Events that were acknowledged before another one of the same sender and customer was sent, and took effect after
    it. What was on its way at the same time has no order.
    """
    sent: dict[EventKey, float] = {}
    acknowledged: dict[EventKey, float] = {}
    whose: dict[EventKey, tuple[str, str]] = {}
    for answer in answers:
        if answer.status == 200:
            event = answer.request.event
            whose[event] = (event[0], answer.request.customer)
            sent[event] = min(answer.sent, sent.get(event, answer.sent))
            acknowledged[event] = min(answer.came, acknowledged.get(event, answer.came))
    late = []
    newest: dict[tuple[str, str], float] = {}
    for event in effects:
        if event in whose:
            before = newest.get(whose[event], 0.0)
            late += [event] if acknowledged[event] < before else []
            newest[whose[event]] = max(sent[event], before)
    return late


def allow_many_connections() -> None:
    """In this process, and in those that it starts from here on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MANY + 500
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
