"""Layer 3: for the same answers, cookiecutter and copier make the same files, byte for byte and mode for mode."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from proof.arrays import Row, cover, missing
from proof.generate import with_cookiecutter, with_copier
from proof.questions import NASTY_TEXT, Questionnaire

ANSWERS_FILE = ".copier-answers.yml"


@dataclass(frozen=True)
class Comparison:
    """One row of answers, given to both engines."""

    stack: str
    answers: dict[str, Any]

    @property
    def name(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.answers.items())


def comparisons(questionnaire: Questionnaire, strength: int = 3) -> list[Comparison]:
    """The array over all questions; free text is plain or nasty, all of it together, the slug on its own."""
    rows = []
    for stack in questionnaire.stacks:
        factors: dict[str, list[Any]] = {
            name: question.values
            for name, question in questionnaire.asked(stack).items()
            if name == "project_slug" or not question.free_text
        }
        factors = questionnaire.one_by_one(factors | {"text": ["plain", "nasty"]})

        def accepts(row: Row, stack: str = stack) -> bool:
            return questionnaire.accepts({"stack": stack} | questionnaire.together(row))

        array = cover(factors, strength, accepts)
        left_out = missing(factors, array, strength, accepts)
        assert not left_out, f"the covering array leaves out {left_out}"
        for row in map(questionnaire.together, array):
            nasty = row.pop("text") == "nasty"
            given = {name: value for name, value in NASTY_TEXT.items() if nasty and name != "project_slug"}
            given |= {name: value for name, value in row.items() if value is not None}
            rows.append(Comparison(stack, {"stack": stack} | given))
    return rows


def compare(comparison: Comparison, template: Path, into: Path) -> list[str]:
    """Generate with both engines; return what differs, one sentence each."""
    one = with_cookiecutter(template, comparison.answers, into / "cookiecutter")
    other = with_copier(template, comparison.answers, into / "copier")
    return list(differences(one, other))


def differences(one: Path, other: Path) -> Iterator[str]:
    files = {path.relative_to(one).as_posix() for path in one.rglob("*")}
    others = {path.relative_to(other).as_posix() for path in other.rglob("*")}
    for path in sorted(files - others):
        yield f"{path}: only cookiecutter makes it"
    for path in sorted(others - files):
        yield f"{path}: only copier makes it"
    for path in sorted(files & others):
        if (one / path).stat().st_mode != (other / path).stat().st_mode:
            yield f"{path}: the modes differ"
        if not (one / path).is_file():
            continue
        if path == ANSWERS_FILE:
            yield from _answers_differ(one / path, other / path)
        elif (one / path).read_bytes() != (other / path).read_bytes():
            yield f"{path}: the bytes differ"


def _answers_differ(one: Path, other: Path) -> Iterator[str]:
    """The answers file may differ in layout, not in meaning."""
    answers, others = (yaml.safe_load(path.read_text("utf-8")) for path in (one, other))
    for name in sorted(answers.keys() | others.keys()):
        if repr(answers.get(name)) != repr(others.get(name)):
            yield f"{ANSWERS_FILE}: {name} is {answers.get(name)!r} by cookiecutter, {others.get(name)!r} by copier"


@dataclass
class EnginesReport:
    rows: int
    failures: list[str]
    seconds: float


def compare_all(rows: list[Comparison], template: Path, into: Path) -> EnginesReport:
    started = time.monotonic()
    failures = []
    for number, row in enumerate(rows):
        failures += [f"{difference} [{row.name}]" for difference in compare(row, template, into / str(number))]
    return EnginesReport(len(rows), failures, time.monotonic() - started)
