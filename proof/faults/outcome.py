"""What became of events: a handler that can be counted, and its table read from outside."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proof.faults.load import LENDER, Sent
from proof.senders import Evidence

# A module of the project's app/handlers/. One event in 20 fails when it has written already, in each of three attempts.
# Who was killed again and again, which counts as attempts, and then fails, too, would rightly wait for minutes.
PROBE = '''
"""Of the proof: what is done can be counted."""

import asyncio
import random

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.jobs.registry import job
from app.jobs.service import enqueue
from app.webhooks.handlers import Event, on

INSERT = text("INSERT INTO effects (source, event_id) VALUES (:source, :event_id)")
ATTEMPTS = text("SELECT attempts FROM webhook_events WHERE source = :source AND event_id = :event_id")


@on("lender")
async def handle(event: Event, session: AsyncSession) -> None:
    await asyncio.sleep(event.data["before"])
    this = {"source": event.source, "event_id": event.id}
    await session.execute(INSERT, this)
    await asyncio.sleep(event.data["inside"])
    if event.data["followed"]:
        await enqueue(session, follow, {"event_id": event.id})
    if random.random() < 0.05 and (await session.scalar(ATTEMPTS, this) or 0) <= 3:
        raise ConnectionError("The lender does not answer.")


@job(name="follow")
async def follow(session: AsyncSession, event_id: str) -> None:
    await session.execute(INSERT, {"source": "job", "event_id": event_id})
'''
OPEN = "state IN ('waiting', 'running')"
MOST_NAMED = 3


def add_probe(project: Path) -> None:
    (project / "app/handlers/proof.py").write_text(PROBE.lstrip("\n"), encoding="utf-8")


def newest(evidence: Evidence) -> int:
    """The number of the event that came last."""
    [[number]] = evidence.ask("SELECT coalesce(max(id), 0) FROM webhook_events")
    return int(number)


def open_up_to(evidence: Evidence, number: int) -> int:
    """How many of the events up to this one wait or run."""
    [[count]] = evidence.ask(f"SELECT count(*) FROM webhook_events WHERE {OPEN} AND id <= {number}")  # noqa: S608 (a number)
    return int(count)


def open_at_all(evidence: Evidence) -> int:
    """How many events, and jobs that follow them, wait or run."""
    [[jobs]] = evidence.ask(f"SELECT count(*) FROM jobs WHERE {OPEN} AND name = 'follow'")  # noqa: S608 (of ours)
    return open_up_to(evidence, newest(evidence)) + int(jobs)


@dataclass(frozen=True)
class Outcome:
    """Of all that was sent; the lists are ids of events."""

    sent: int
    acknowledged: int
    # What its sender gave up, because the answer did not reach it.
    kept_without_answer: int
    effects: int
    doubled: list[str]
    lost: list[str]
    stuck: list[str]
    half_done: list[str]

    @property
    def violations(self) -> list[str]:
        """A sentence for each kind."""
        kinds = {
            "were acknowledged and had no effect": self.lost,
            "had more than one effect": self.doubled,
            "are still waiting, running or dead": self.stuck,
            "are half-done": self.half_done,
        }
        return [f"{len(ids)} events {what}: {_some(ids)}." for what, ids in kinds.items() if ids]


def outcome_of(sent: Sequence[Sent], evidence: Evidence) -> Outcome:
    rows = evidence.ask("SELECT source, event_id, state, body FROM webhook_events")
    events = {(source, event_id): (state, bytes(body)) for source, event_id, state, body in rows}
    effects = evidence.effects()
    unfinished = evidence.ask("SELECT arguments, state FROM jobs WHERE name = 'follow' AND state <> 'done'")
    stuck = [f"{json.loads(arguments)['event_id']} (its job is {state})" for arguments, state in unfinished]
    lost: list[str] = []
    half_done: list[str] = []
    expected: Counter[tuple[str, str]] = Counter()
    for one in sent:
        key = one.event
        if key not in events:
            lost += [key[1]] * one.acknowledged
            continue
        state, body = events[key]
        if state != "done":
            stuck.append(f"{key[1]} ({state})")
            continue
        wanted = [key, *([("job", key[1])] if one.followed else [])]
        expected.update(wanted)
        if body != one.request.body:
            half_done.append(key[1])
        elif not all(effects[effect] for effect in wanted):
            (lost if one.acknowledged else half_done).append(key[1])
    # Of what is not done, nothing may be there.
    half_done += [event_id for source, event_id in effects if (source, event_id) not in expected]
    return Outcome(
        sent=len(sent),
        acknowledged=sum(one.acknowledged for one in sent),
        kept_without_answer=sum(one.event in events and not one.acknowledged for one in sent),
        effects=sum(count for (source, _), count in effects.items() if source == LENDER.name),
        doubled=list(dict.fromkeys(event_id for (_, event_id), count in effects.items() if count > 1)),
        lost=lost,
        stuck=stuck,
        half_done=half_done,
    )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:MOST_NAMED]) + (", ..." if len(ids) > MOST_NAMED else "")
