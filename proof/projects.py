"""Layer 2: whole projects are generated, installed from their own files alone, checked, migrated and served."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from proof import brokers
from proof.arrays import Factors, Row, cover, missing, rotate
from proof.files import template_files
from proof.generate import with_cookiecutter, with_copier
from proof.postgres import Server
from proof.processes import CommandFailed, ask, clean_environment, free_port, run, server
from proof.questions import NASTY_TEXT, Questionnaire
from proof.stacks import STACKS, Stack, on_django

LEAST_COVERAGE = 90  # per cent of lines and branches, and of branches alone
COVERAGE_TOOLS = ("coverage>=7.10", "pytest-cov>=7")
ENGINES: Mapping[str, Callable[[Path, Mapping[str, object], Path], Path]] = {
    "cookiecutter": with_cookiecutter,
    "copier": with_copier,
}
# copier works in this process and changes what belongs to all of it; tools for measuring are fetched once.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Variant:
    """A project to build: answers in the words of `ONLY=`, where `text` is plain or nasty and stands for all free text
    (the slug aside), and `server` says whether the tests of a PostgreSQL project are given a server or start their own.
    """

    words: Mapping[str, str]

    @property
    def name(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.words.items())

    @property
    def short(self) -> str:
        return sha256(self.name.encode()).hexdigest()[:10]

    def answers(self, questionnaire: Questionnaire) -> dict[str, Any]:
        """The answers to hand to an engine; what is not in it is left to the questionnaire."""
        answers: dict[str, Any] = {"stack": self.words["stack"]}
        for name, question in questionnaire.asked(self.words["stack"]).items():
            if name in self.words:
                answers[name] = next(value for value in question.values if as_word(value) == self.words[name])
            elif question.free_text and name != "project_slug" and self.words.get("text") == "nasty":
                answers[name] = NASTY_TEXT[name]
        return answers


@dataclass
class Outcome:
    """What became of a variant; all of it can be written as JSON."""

    words: dict[str, str]
    python: str = ""
    asked_python: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    coverage: float = 0
    branch_coverage: float = 0
    failed: str = ""
    output: str = ""
    folder: str = ""
    left_out: str = ""  # what this machine could not do

    @property
    def name(self) -> str:
        return Variant(self.words).name

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def instead(self) -> str:
        """Said aloud when the Python asked for, or the broker, is not to be had."""
        python = "" if self.python == self.asked_python else f" (on Python {self.python}: no {self.asked_python} here)"
        return python + (f" ({self.left_out})" if self.left_out else "")

    @property
    def reproduce(self) -> str:
        return f"make prove ONLY='{self.name}'"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if not self.failed:
            steps = ", ".join(f"{step} {seconds:.0f}" for step, seconds in self.seconds.items())
            coverage = f", coverage {self.coverage:.1f} %" if self.coverage else ""
            return f"passed in {self.total:.0f} s ({steps}){coverage}{self.instead}: {self.name}"
        return (
            f"FAILED at the step «{self.failed}»{self.instead}: {self.name}\n{self.output}\n"
            f"The project is kept in {self.folder}\nOnce more: {self.reproduce}"
        )


def factors_of_running_code(questionnaire: Questionnaire, stack: str) -> dict[str, list[Any]]:
    """The answers that change the running code: those that a Python file, or a piece with a Python file, asks for.

    Nobody has to keep this list: an answer enters it when code starts to depend on it. Free text stays out.
    """
    names = {
        name
        for file in template_files(questionnaire, stack)
        if file.path.endswith(".py")
        for name in file.answers
        if not questionnaire.questions[name].free_text
    }
    return {name: _words(question.values) for name, question in questionnaire.asked(stack).items() if name in names}


def as_word(value: object) -> str:
    """A value as `ONLY=` writes it: yes and no as true and false, several choices with a plus between them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace(",", "+") or "none"


def _words(values: Iterable[Any]) -> list[str]:
    return [as_word(value) for value in values]


def _rotating(stack: str) -> dict[str, list[str]]:
    """What takes turns beside the answers: each of its values is built at least once."""
    of_stack = {name: list(values) for name, values in STACKS[stack].rotating.items()}
    return {"text": ["plain", "plain", "nasty", "nasty"], "engine": list(ENGINES)} | of_stack


def presets(questionnaire: Questionnaire) -> dict[str, dict[str, str]]:
    """The words of each preset, as a variant has them, by its name."""
    products = {}
    for file in sorted((questionnaire.root / "presets").glob("*.yml")):
        answers = questionnaire.complete(yaml.safe_load(file.read_text("utf-8")))
        words = {
            name: as_word(",".join(answers[name]) if question.multiple else answers[name])
            for name, question in questionnaire.asked(answers["stack"]).items()
            if not question.free_text
        }
        products[file.stem] = {"stack": answers["stack"]} | words | {"text": "plain", "engine": "copier"}
    return products


def variants(questionnaire: Questionnaire, strength: int) -> tuple[list[Variant], dict[str, Factors]]:
    """The rows to build, those of the presets among them, and by stack the factors of the array; raises AssertionError
    if a combination is missing.
    """
    rows: list[Variant] = []
    factors: dict[str, Factors] = {}
    for stack in questionnaire.stacks:
        running = factors_of_running_code(questionnaire, stack)
        if strength > 2:
            running["python_version"] = _words(questionnaire.questions["python_version"].values)
        factors[stack] = questionnaire.one_by_one(running)
        others: dict[str, list[str]] = {
            name: _words(question.values)
            for name, question in questionnaire.asked(stack).items()
            if not question.free_text and name not in running
        }
        others |= _rotating(stack)

        def in_words(row: Row) -> Row:
            return {name: as_word(value) for name, value in questionnaire.together(row).items()}

        def accepts(row: Row, stack: str = stack) -> bool:
            return possible(questionnaire, {"stack": stack} | in_words(row))

        products = [words for words in presets(questionnaire).values() if words["stack"] == stack]
        first = [questionnaire.apart(words, factors[stack]) for words in products]
        array = cover(factors[stack], strength, accepts, first, STACKS[stack].salt)
        left_out = missing(factors[stack], array, strength, accepts)
        assert not left_out, f"the covering array leaves out {left_out}"
        given = True
        answers = [in_words(row) for row in array]
        wholes = [row | words for row, words in zip(answers, products, strict=False)] + answers[len(products) :]
        for row in rotate(wholes, others, accepts):
            words = {"stack": stack} | row
            if row.get("database") == "postgresql":
                words["server"] = "given" if given else "own"
                given = not given
            rows.append(Variant(words))
    return rows, factors


def possible(questionnaire: Questionnaire, row: Mapping[str, str]) -> bool:
    """Whether these words, which may be a part of a row, can stand together."""
    if row.get("django") == "6.0" and row.get("python_version") == "3.11":
        return False
    return questionnaire.accepts(Variant(row).answers(questionnaire))


def named(questionnaire: Questionnaire, text: str) -> Variant:
    """The variant that `ONLY=` names; what it leaves out is the default."""
    given = dict(part.split("=", 1) for part in text.split(",") if part)
    stack = given.get("stack", questionnaire.stacks[0])
    if stack not in questionnaire.stacks:
        raise SystemExit(f"ONLY: stack={stack} is not one of {questionnaire.stacks}")
    known: dict[str, list[str]] = {"stack": [stack], "server": ["given", "own"]}
    known |= _rotating(stack)
    for name, question in questionnaire.asked(stack).items():
        if not question.free_text:
            known[name] = _words(question.values)
    for name, value in given.items():
        if value not in known.get(name, []):
            raise SystemExit(f"ONLY: {name}={value} is not one of {list(dict.fromkeys(known.get(name, known)))}")
    words = {name: given.get(name, values[0]) for name, values in known.items()}
    if words["database"] != "postgresql":
        del words["server"]
    order = list(given) + [name for name in words if name not in given]
    variant = Variant({name: words[name] for name in order if name in words})
    if sentences := questionnaire.refusals(questionnaire.complete(variant.answers(questionnaire))):
        raise SystemExit(f"ONLY: {' '.join(sentences.values())}")
    return variant


@functools.cache
def interpreter(version: str) -> tuple[str, str]:
    """Path and version of a Python: the one asked for (uv may fetch it), else the nearest on this machine."""
    environment = clean_environment(UV_HTTP_RETRIES="0")
    # Here pyenv's shims are welcome: uv finds Pythons through them.
    environment["PATH"] = os.environ["PATH"]
    nearest = sorted(
        ("3.11", "3.12", "3.13", "3.14"), key=lambda other: abs(int(other[2:]) - int(version.removeprefix("3.")))
    )
    for wanted in nearest:
        find = ["uv", "python", "find", "--no-project", "--system", wanted]
        if wanted == version and _says(find, environment) is None:
            _says(["uv", "python", "install", wanted], environment)
        if path := _says(find, environment):
            return path, wanted
    raise SystemExit("uv finds no Python from 3.11 to 3.14.")


def _says(command: list[str], environment: dict[str, str]) -> str | None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout.strip() if done.returncode == 0 else None


def _coverage_for(python: str, folder: Path) -> Path:
    """coverage and pytest-cov alone, without their dependencies: they must not replace what a project lacks."""
    into = folder / f"coverage-{sha256(python.encode()).hexdigest()[:8]}"
    with _one_at_a_time:
        if not into.exists():
            command = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", python, "--target", str(into)]
            run([*command, *COVERAGE_TOOLS], folder, clean_environment())
    return into


@dataclass
class _Work:
    variant: Variant
    template: Path
    folder: Path
    databases: Server
    until_the_end: contextlib.ExitStack
    shared: Path | None
    measures: bool
    python: str
    outcome: Outcome
    project: Path = Path()

    @property
    def stack(self) -> Stack:
        return STACKS[self.variant.words["stack"]]

    def environment(self, **more: str) -> dict[str, str]:
        own = {"UV_PYTHON": self.python}
        if self.shared is not None:
            own["UV_PROJECT_ENVIRONMENT"] = str(self.shared / f"{self.variant.words['stack']}-{self.outcome.python}")
        return clean_environment(**own, **more)

    def run(self, *command: str, **more: str) -> str:
        return run(command, self.project, self.environment(**more))

    @functools.cached_property
    def database_url(self) -> str:
        if self.variant.words["database"] == "postgresql":
            return self.until_the_end.enter_context(self.databases.new_database())
        return f"sqlite:///{self.folder / 'proof.db'}"

    @functools.cached_property
    def broker_url(self) -> str:
        """Of a broker for this project alone, or empty when it needs none, or when there is none to be had."""
        name = self.variant.words.get("broker", "embedded")
        if name == "embedded" or (self.outcome.left_out):
            return ""
        if reason := brokers.why_not(name):
            self.outcome.left_out = f"without a {name}: {reason}"
            return ""
        return self.until_the_end.enter_context(brokers.own(name)).url

    def production(self) -> dict[str, str]:
        settings = {
            "APP_ENVIRONMENT": "production",
            "APP_SECRET_KEY": "a key that only the proof uses, of enough characters",
            "APP_ALLOWED_HOSTS": "127.0.0.1",
            "APP_DATABASE_URL": self.database_url,
        }
        return settings | self.stack.production(self.variant.words, self.broker_url)


def _generate(work: _Work) -> None:
    answers = work.variant.answers(Questionnaire(work.template))
    with _one_at_a_time:
        work.project = ENGINES[work.variant.words["engine"]](work.template, answers, work.folder)
    if work.variant.words.get("django") == "6.0":
        on_django("6.0", work.project)


def _install(work: _Work) -> None:
    # Of what another project left in a shared environment nothing stays that is not this one's.
    work.run("uv", "sync")


def _check(work: _Work) -> None:
    """`just check` as it stands, once: through two variables its one run of the tests may also be measured."""
    # Rows share the processors: workers of their own would only start more often.
    environment = {"PYTEST_XDIST_AUTO_NUM_WORKERS": "0"}
    measured = work.folder / "coverage.json"
    if work.measures:
        measure = [f"--cov={package}" for package in work.stack.packages]
        measure += ["--cov-branch", f"--cov-report=json:{measured}", "--cov-report=term-missing:skip-covered"]
        environment["PYTHONPATH"] = str(_coverage_for(work.python, work.folder.parent))
        environment["PYTEST_ADDOPTS"] = " ".join(measure)
        environment["COVERAGE_FILE"] = str(work.folder / ".coverage")
    if work.shared is not None:
        environment["MYPY_CACHE_DIR"] = str(work.shared / "mypy")
    if work.variant.words.get("server") == "given":
        environment["TEST_DATABASE_URL"] = work.databases.url
    if work.broker_url:
        environment["TEST_BROKER_URL"] = work.broker_url
    output = work.run("uv", "run", "just", "check", **environment)
    # What a project's own tests leave out, for want of a browser, say, is said aloud here, too.
    skipped = [line.rpartition(": ")[2] for line in output.splitlines() if line.startswith("SKIPPED ")]
    work.outcome.left_out = "; ".join(dict.fromkeys([work.outcome.left_out, *skipped])).removeprefix("; ")
    if work.measures:
        _see_that_enough_is_covered(work, measured, output)


def _see_that_enough_is_covered(work: _Work, measured: Path, output: str) -> None:
    totals = json.loads(measured.read_text("utf-8"))["totals"]
    work.outcome.coverage = totals["percent_covered"]
    work.outcome.branch_coverage = 100 * totals["covered_branches"] / max(totals["num_branches"], 1)
    if min(work.outcome.coverage, work.outcome.branch_coverage) < LEAST_COVERAGE:
        raise CommandFailed(
            f"coverage {work.outcome.coverage:.1f} % (branches alone {work.outcome.branch_coverage:.1f} %) "
            f"is less than {LEAST_COVERAGE} %",
            output,
        )


def _migrate(work: _Work) -> None:
    settings = work.production()
    work.run("uv", "run", "just", "migrate", **settings)
    work.stack.migrate_back_and_forth(work.project, lambda *command: work.run("uv", "run", *command, **settings))


def _serve(work: _Work) -> None:
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    environment = work.environment(**work.production(), APP_HOST="127.0.0.1", APP_PORT=str(port))
    with server(("uv", "run", "just", "start"), work.project, environment, f"{home}/health/ready") as said:
        answers = {path: ask(home + path) for path in ("/health/live", "/docs", "/redoc", "/openapi.json")}
    for path, (status, body) in answers.items():
        if status != 200:
            raise CommandFailed(f"{path} answers {status}: {body[:500]}", said[0])
    if "/health/ready" not in json.loads(answers["/openapi.json"][1])["paths"]:
        raise CommandFailed("openapi.json does not know /health/ready", said[0])


STEPS: Mapping[str, Callable[[_Work], None]] = {
    "generate": _generate,
    "install": _install,
    "check": _check,
    "migrations": _migrate,
    "serve": _serve,
}


def build(
    variant: Variant,
    template: Path,
    into: Path,
    databases: Server,
    shared: Path | None = None,
    steps: Sequence[str] = tuple(STEPS),
    *,
    measures: bool = True,
) -> Outcome:
    """Take a variant through the steps, in a folder of its own below `into`, which stays only when a step fails.

    What projects that are built one after the other can share, environments that are compiled already and what mypy
    knows of libraries, is kept in `shared`. To measure coverage takes the tests half as long again.
    """
    python, version = interpreter(variant.words["python_version"])
    outcome = Outcome(dict(variant.words), python=version, asked_python=variant.words["python_version"])
    folder = into / variant.short
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as until_the_end:
        work = _Work(variant, template, folder, databases, until_the_end, shared, measures, python, outcome)
        for step in steps:
            started = time.monotonic()
            try:
                STEPS[step](work)
            except Exception as error:
                outcome.failed = step
                outcome.folder = str(folder)
                outcome.output = str(error) if isinstance(error, CommandFailed) else repr(error)
                break
            finally:
                outcome.seconds[step] = round(time.monotonic() - started, 1)
    if not outcome.failed:
        shutil.rmtree(folder)
    return outcome
