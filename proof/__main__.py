"""`make prove`: all three layers, with progress; Ctrl-C stops, and the next run goes on from there."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console

from proof.engines import Comparison, EnginesReport, compare_all, comparisons
from proof.files import check_every_file
from proof.generate import snapshot
from proof.postgres import Server
from proof.processes import end_all
from proof.projects import Outcome, Variant, build, interpreter, named, variants
from proof.questions import Questionnaire
from proof.report import Proof, print_table, write_page

ROOT = Path(__file__).parent.parent
# What a result depends on: when one of these changes, results are found anew.
SOURCES = ("copier.yml", "cookiecutter.json", "questions", "hooks", "template-*", "proof")


class Kept:
    """Results of earlier runs in `.proof/`, by what they depend on."""

    def __init__(self, folder: Path, fresh: bool) -> None:
        self.folder = folder / "results"
        self.fresh = fresh
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = sha256()
        for path in sorted(path for source in SOURCES for top in ROOT.glob(source) for path in (top, *top.rglob("*"))):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT).as_posix()} {path.stat().st_mode}\n".encode())
                digest.update(path.read_bytes())
        self.digest = digest.hexdigest()

    def path(self, name: str) -> Path:
        return self.folder / f"{sha256(f'{self.digest} {name}'.encode()).hexdigest()[:16]}.json"

    def outcome(self, variant: Variant) -> Outcome | None:
        kept = self._read(variant.name)
        return Outcome(**kept) if kept and kept["python"] == interpreter(kept["asked_python"])[1] else None

    def engines(self) -> EnginesReport | None:
        kept = self._read("engines")
        return EnginesReport(**kept) if kept else None

    def _read(self, name: str) -> dict[str, Any] | None:
        if self.fresh or not self.path(name).exists():
            return None
        kept: dict[str, Any] = json.loads(self.path(name).read_text("utf-8"))
        return kept

    def keep(self, name: str, result: Outcome | EnginesReport) -> None:
        """Failures are not kept: the next run tries them again."""
        if not (result.failed if isinstance(result, Outcome) else result.failures):
            self.path(name).write_text(json.dumps(asdict(result)), "utf-8")


def compare_engines(template: Path, into: Path, jobs: int) -> EnginesReport:
    """In processes of their own, because generating changes the working directory."""
    started = time.monotonic()
    rows = comparisons(Questionnaire(template))
    parts: list[list[Comparison]] = [rows[first :: jobs * 4] for first in range(jobs * 4)]
    with ProcessPoolExecutor(jobs, initializer=_leave_interrupts_to_the_parent) as pool:
        futures = [pool.submit(compare_all, part, template, into / str(n)) for n, part in enumerate(parts)]
        wait(futures, return_when=FIRST_EXCEPTION)
        failures = [failure for future in futures for failure in future.result().failures]
    return EnginesReport(len(rows), failures, time.monotonic() - started)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def build_all(
    rows: list[Variant], template: Path, work: Path, jobs: int, kept: Kept, console: Console
) -> Generator[Outcome]:
    """Outcomes as they come, kept ones first."""
    todo = []
    for row in rows:
        if outcome := kept.outcome(row):
            yield outcome
        else:
            todo.append(row)
    databases = Server()
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(build, row, template, work, databases) for row in todo]
        for future in as_completed(futures):
            outcome = future.result()
            kept.keep(outcome.name, outcome)
            yield outcome
    except BaseException:
        console.print("[yellow]Stopping: ending what runs ...[/yellow]")
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        databases.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof", description="Prove every variant of the templates.")
    parser.add_argument("--strength", type=int, default=3, choices=(2, 3), help="pairs or triples (default: 3)")
    parser.add_argument("--only", help="one variant: database=postgresql,example=false; the rest is the default")
    parser.add_argument("--fresh", action="store_true", help="forget results of earlier runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="at the same time (default: the cores)")
    parser.add_argument("--report", type=Path, default=ROOT / "prove-report.html", help="where the page goes")
    options = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    started = time.monotonic()
    questionnaire = Questionnaire(ROOT)
    rows, factors = variants(questionnaire, options.strength)
    if options.only is not None:
        rows = [named(questionnaire, options.only)]
    proof = Proof(options.strength, factors)
    home = ROOT / ".proof"
    kept = Kept(home, options.fresh)
    work = home / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory(prefix="proof-") as temporary:
            template = snapshot(Path(temporary) / "template")
            if options.only is None:
                proof.files = check_every_file(questionnaire, Path(temporary) / "files")
                console.print(f"Every file: {proof.files}")
                proof.engines = kept.engines()
                if proof.engines is None:
                    proof.engines = compare_engines(template, Path(temporary) / "engines", options.jobs)
                    kept.keep("engines", proof.engines)
                console.print(f"Engines: {proof.engines.rows} rows, {len(proof.engines.failures)} differences")
                for failure in [*proof.files.failures, *proof.engines.failures]:
                    console.print(failure, markup=False)
            outcomes = build_all(rows, template, work, options.jobs, kept, console)
            with contextlib.closing(outcomes):
                for number, outcome in enumerate(outcomes, 1):
                    console.print(f"{number}/{len(rows)} {outcome}", markup=False)
                    proof.outcomes.append(outcome)
    except KeyboardInterrupt:
        console.print("Stopped. What passed is kept: the same command goes on from here.")
        return 130
    proof.seconds = time.monotonic() - started
    proof.outcomes.sort(key=lambda outcome: [row.name for row in rows].index(outcome.name))
    print_table(proof, console)
    write_page(proof, options.report)
    console.print(f"The page: {options.report.name}")
    return 1 if proof.failures else 0


if __name__ == "__main__":
    sys.exit(main())
