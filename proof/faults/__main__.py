"""`make faults`: faults of the FastAPI stack brought about for real, one after the other, and a table at the end."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table

from proof.faults import NotProved, disk
from proof.faults.webhooks import FAULTS, SUBJECTS, Fault, Row, Subject, bring_about, installed
from proof.generate import snapshot
from proof.processes import CommandFailed, end_all


@dataclass
class Run:
    folder: Path
    rounds: int
    seed: str
    console: Console
    rows: list[Row] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)
    failed: bool = False
    stopped: bool = False

    def prove(self, template: Path, database: str, broker: str, faults: Sequence[Fault]) -> None:
        with self.console.status(f"{broker}, {database}: making the project ...") as status:
            try:
                with installed(template, self.folder / f"{broker}-{database}", database, broker) as subject:
                    for fault in faults:
                        self._bring_about(fault, subject, status)
            except NotProved as error:
                self._not_proved(f"{broker}, {database}", str(error))

    def _bring_about(self, fault: Fault, subject: Subject, status: Status) -> None:
        def say(text: str) -> None:
            status.update(f"{subject.name}: {fault.name}: {text}")

        say("starting")
        # Each by itself can be had again, whatever else is asked for.
        seed = f"{self.seed} {subject.name} {fault.name}"
        try:
            row = asyncio.run(bring_about(fault, subject, rounds=self.rounds, seed=seed, say=say))
        except NotProved as error:
            self._not_proved(f"{subject.name}: {fault.name}", str(error))
        except (CommandFailed, TimeoutError) as error:
            self.failed = True
            self.console.print(f"[red]FAILED[/red]           {subject.name}: {fault.name}: it did not start")
            self.console.print(str(error), markup=False)
        else:
            self.rows.append(row)
            self.failed |= bool(row.wrong)
            verdict = "[red]FAILED[/red]" if row.wrong else "[green]passed[/green]"
            self.console.print(f"{verdict}  {row.seconds:5.0f} s  {subject.name}: {fault.name}")
            for sentence in row.wrong:
                self.console.print(f"                 {sentence}", markup=False)

    def _not_proved(self, what: str, reason: str) -> None:
        self.not_proved.append(what)
        self.console.print(f"[yellow]NOT PROVED[/yellow]       {what}: {reason}.")

    def print_table(self) -> None:
        # Wider than some terminals, which then break its lines: better than numbers that are cut off.
        self.console.width = max(self.console.width, 120)
        table = Table(title="What became of events", box=box.SIMPLE_HEAD)
        table.add_column("fault", no_wrap=True)
        for name in COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for subject, rows in groupby(self.rows, lambda row: row.subject):
            table.add_row(f"[bold]{subject}[/bold]")
            for row in rows:
                table.add_row(row.fault, *numbers_of(row), style="red" if row.wrong else "")
            table.add_section()
        self.console.print(table)


COLUMNS = (
    "rounds",
    "sent",
    "acknow-\nledged",
    "kept, not\nanswered",
    "effects",
    "doubled",
    "lost",
    "stuck",
    "half-\ndone",
    "recovered\nafter",
)


def numbers_of(row: Row) -> list[str]:
    outcome = row.outcome
    lists = (outcome.doubled, outcome.lost, outcome.stuck, outcome.half_done)
    counts = (row.rounds, outcome.sent, outcome.acknowledged, outcome.kept_without_answer, outcome.effects)
    return [f"{count:,}" for count in (*counts, *map(len, lists))] + [f"{row.recovery:.1f} s"]


def whole_number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("give a whole number above 0")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m proof.faults",
        description="Kill processes, stop servers, fill disks and move clocks under a FastAPI project that receives"
        " webhooks, and count what became of each event.",
    )
    parser.add_argument("--rounds", type=whole_number, default=20, help="of each kill; of what takes longer, a quarter")
    parser.add_argument("--only", choices=FAULTS, action="append", help="one fault; may be given several times")
    parser.add_argument("--database", choices=("sqlite", "postgresql"))
    parser.add_argument("--broker", choices=("embedded", "redis", "rabbitmq"))
    parser.add_argument("--seed", default=secrets.token_hex(3), help="of all that is random (default: a new one)")
    parser.add_argument("--keep", action="store_true", help="the logs, also when nothing was wrong")
    options = parser.parse_args()
    disk.enter_namespace()
    console = Console(soft_wrap=True, highlight=False)
    subjects = [
        (database, broker)
        for database, broker in SUBJECTS
        if options.database in (None, database) and options.broker in (None, broker)
    ]
    faults = [FAULTS[name] for name in options.only or FAULTS]
    chosen = {pair: [fault for fault in faults if fault.concerns(*pair)] for pair in subjects}
    if not any(chosen.values()):
        parser.error("There is no such fault of such a project: leave out --database, --broker or --only.")
    console.print(f"Seed {options.seed}; the same again: make faults SEED={options.seed}")
    folder = Path(tempfile.mkdtemp(prefix="proof-faults-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    run = Run(folder, options.rounds, options.seed, console)
    try:
        (folder / "template").mkdir()
        template = snapshot(folder / "template")
        for pair, wanted in chosen.items():
            if wanted:
                run.prove(template, *pair, wanted)
    except KeyboardInterrupt:
        console.print("[yellow]Stopped.[/yellow]")
        run.stopped = True
    finally:
        end_all()
    if run.rows:
        run.print_table()
    for what in run.not_proved:
        console.print(f"[yellow]NOT PROVED[/yellow]: {what}")
    if run.failed or options.keep:
        console.print(f"What the processes said is in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if run.stopped:
        return 130
    return 1 if run.failed or not run.rows else 0


if __name__ == "__main__":
    sys.exit(main())
