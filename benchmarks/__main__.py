"""`make bench`: what is measured, against what, in one table. Nothing is written outside a temporary folder."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from benchmarks import generation, green, intake, observability, service
from benchmarks.figures import Figure, Options
from proof.generate import snapshot
from proof.processes import CommandFailed, end_all

PARTS: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "generation": generation.measure,
    "green": green.measure,
    "service": service.measure,
    "intake": intake.measure,
    "observability": observability.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part (default: all)")
    parser.add_argument("--seconds", type=int, default=5, help="of load for each figure and round (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken (default: 3)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Console(stderr=True)
    # Lines that do not break where there is no terminal.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    figures: list[Figure] = []
    code = 0
    with tempfile.TemporaryDirectory(prefix="twostacks-bench-") as folder:
        # What the commands we start drop into the folder for temporary files goes away with it.
        os.environ["TMPDIR"] = folder
        template = Path(folder) / "template"
        options = Options(snapshot(template), Path(folder), given.seconds, given.rounds, progress.print)
        try:
            for part in [given.only] if given.only else PARTS:
                for figure in PARTS[part](options):
                    progress.print(f"{figure.what}: {figure.result}", style="dim")
                    figures.append(figure)
        except KeyboardInterrupt:
            end_all()
            code = 130
        except CommandFailed as error:
            progress.print(f"{error}\n{error.output}", markup=False)
            code = 1
    console.print(table(figures))
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    # Which one counts: a build without profiles takes up to twice the processor time of the usual ones.
    interpreter = f"Python {sys.version.split()[0]} ({Path(sys.executable).resolve()})"
    console.print(f"{interpreter}, {os.cpu_count()} cores; load at the end: {load}", soft_wrap=True)
    return code


def table(figures: list[Figure]) -> Table:
    made = Table(title="Benchmarks")
    made.add_column("what", no_wrap=True)
    for name in ("result", "the limit", "ratio", "p50, p99"):
        made.add_column(name, justify="right", no_wrap=True)
    for figure in figures:
        made.add_row(figure.what, figure.result, figure.limit, figure.ratio, figure.latency)
    return made


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
