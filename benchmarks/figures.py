"""What is measured, and a line of the table for it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from proof.generate import GIT
from proof.processes import clean_environment, run


@dataclass(frozen=True)
class Options:
    template: Path
    """A repository of its own with one tag, as a user would have it."""
    folder: Path
    """A temporary one: everything is written here."""
    seconds: int
    rounds: int
    say: Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    what: str
    result: str
    limit: str = ""
    ratio: str = ""
    latency: str = ""


def environment(**more: str) -> dict[str, str]:
    """That of a user who has nothing set; their Python is the one that runs this."""
    return clean_environment(**{"UV_PYTHON": str(Path(sys.executable).resolve()), **GIT, **more})


def seconds_of(command: list[str], folder: Path, **more: str) -> float:
    started = time.perf_counter()
    run(command, folder, environment(**more))
    return time.perf_counter() - started


def spread(values: list[float], form: str, unit: str = "") -> str:
    """The median, and from where to where the values went."""
    whole = f"{median(values):{form}}{unit}"
    return f"{whole} ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else whole
