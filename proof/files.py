"""Layer 1: every file that any combination of answers can produce is rendered and checked.

A file depends only on the answers that its name, its text and its piece mention, so those combinations
stand for all of them.
"""

import ast
import configparser
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import meta, nodes

from proof import cloudformation
from proof.arrays import cover
from proof.questions import Piece, Questionnaire

MOST_COMBINATIONS = 4096
# The text of these is not ours, or not for a parser.
_PROSE = ("LICENSE",)
_LEFTOVER = re.compile(r"{%|%}|{#-?\s|\bcookiecutter\.\w|\b_copier_\w")
# A page of the project's own has tags that are meant for Django.
_LEFTOVER_IN_PAGE = re.compile(r"{%-?\s*(end)?raw\b|\bcookiecutter\.\w|\b_copier_\w")


@dataclass(frozen=True)
class TemplateFile:
    """A file of a template tree, and the answers that decide what becomes of it."""

    path: str
    body: str | None
    pieces: tuple[Piece, ...]
    answers: frozenset[str]

    @property
    def of_an_engine(self) -> bool:
        """The answers file: each engine writes it in its own way, and layer 3 compares the two."""
        return "__answers_file" in self.path


@dataclass(frozen=True)
class Result:
    """One of the distinct results of a template file, and the first answers that lead to it."""

    path: str
    text: str
    answers: dict[str, Any]

    def complaint(self, what: str) -> str:
        return f"{self.path}: {what} [{', '.join(f'{name}={value!r}' for name, value in self.answers.items())}]"


@dataclass
class FilesReport:
    files: int = 0
    combinations: int = 0
    distinct: int = 0
    seconds: float = 0
    sampled: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.combinations} combinations stood for, {self.distinct} distinct results, "
            f"{len(self.failures)} failures, {self.seconds:.0f} s"
        )


def template_files(questionnaire: Questionnaire, stack: str) -> list[TemplateFile]:
    tree = questionnaire.tree(stack)
    files = []
    for source in sorted(tree.rglob("*")):
        if not source.is_file() or any(part in ("__pycache__", ".venv") for part in source.parts):
            continue
        path = source.relative_to(tree).as_posix()
        try:
            body = source.read_text("utf-8")
        except UnicodeDecodeError:
            body = None
        pieces = tuple(piece for piece in questionnaire.pieces if piece.owns(path))
        answers = _mentioned(questionnaire, path) | _mentioned(questionnaire, body or "")
        for piece in pieces:
            answers |= piece.answers
        files.append(TemplateFile(path, body, pieces, frozenset(answers)))
    return files


def rendered_tree(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> dict[str, str]:
    """All files of the project that complete answers give, by path; the answers file, made by an engine, aside."""
    namespace = questionnaire.for_templates(answers)
    environment = questionnaire.environment
    return {
        environment.from_string(file.path).render(cookiecutter=namespace): environment.from_string(
            file.body or ""
        ).render(cookiecutter=namespace)
        for file in template_files(questionnaire, answers["stack"])
        if not file.of_an_engine and not any(piece.leaves_out(file.path, answers) for piece in file.pieces)
    }


def _mentioned(questionnaire: Questionnaire, text: str) -> set[str]:
    parsed = questionnaire.environment.parse(text)
    names: set[str] = set()
    for node in parsed.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name == "cookiecutter":
            names.add(node.attr)
    return names & set(questionnaire.questions)


def _without_gaps(answers: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answers.items() if value is not None}


def _values(questionnaire: Questionnaire, stack: str, name: str, file: TemplateFile) -> list[Any]:
    """Those that this file can tell apart: one that only asks for some choices, or whether there is any, needs no more
    than these and one of the others."""
    question = questionnaire.questions[name]
    if name == "stack":
        return [stack]
    if name not in questionnaire.asked(stack):
        return question.values[:1]
    if not question.multiple:
        return question.values
    uses = _Uses(name)
    texts = [file.path, file.body or "", *(piece.source for piece in file.pieces)]
    for text in [*texts, *(other.validator for other in questionnaire.questions.values())]:
        uses.visit(questionnaire.environment.parse(text))
    if uses.whole:
        return question.values
    others = [choice for choice in question.choices.values() if choice not in uses.choices]
    told = {*uses.choices, *others[:1]}
    return [value for value in question.values if set(value.split(",")) - {""} <= told]


class _Uses:
    """What a text asks of an answer that takes several choices."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.choices: set[str] = set()
        self.whole = False

    def visit(self, node: nodes.Node) -> None:
        if self._is_answer(node):
            self.whole = True
        elif isinstance(node, nodes.Compare) and self._asks_for_a_choice(node):
            self.choices.add(str(node.expr.as_const()))
        elif isinstance(node, nodes.If | nodes.CondExpr):
            self._visit_condition(node.test)
            for child in node.iter_child_nodes(exclude=("test",)):
                self.visit(child)
        elif isinstance(node, nodes.Not):
            self._visit_condition(node.node)
        else:
            for child in node.iter_child_nodes():
                self.visit(child)

    def _visit_condition(self, node: nodes.Node) -> None:
        """Only its truth counts."""
        if isinstance(node, nodes.And | nodes.Or):
            self._visit_condition(node.left)
            self._visit_condition(node.right)
        elif not self._is_answer(node):
            self.visit(node)

    def _asks_for_a_choice(self, node: nodes.Compare) -> bool:
        [operand, *more] = node.ops
        of_answer = operand.op in ("in", "notin") and self._is_answer(operand.expr)
        return isinstance(node.expr, nodes.Const) and of_answer and not more

    def _is_answer(self, node: nodes.Node | None) -> bool:
        """As templates, pieces and validators name it: cookiecutter.NAME, NAME | default(...), NAME."""
        if isinstance(node, nodes.Filter) and node.name == "default":
            return self._is_answer(node.node)
        if isinstance(node, nodes.Getattr):
            return isinstance(node.node, nodes.Name) and node.node.name == "cookiecutter" and node.attr == self.name
        return isinstance(node, nodes.Name) and node.name == self.name


def check_every_file(questionnaire: Questionnaire, into: Path, only: Collection[str] = ()) -> FilesReport:
    """Render and check everything, or `only` these paths; the distinct results are written below `into` for the tools
    that read files.
    """
    started = time.monotonic()
    report = FilesReport()
    for stack in questionnaire.stacks:
        results: dict[str, list[Result]] = {}
        for file in template_files(questionnaire, stack):
            if only and file.path not in only:
                continue
            report.files += 1
            if file.of_an_engine:
                report.combinations += 1
                report.distinct += 1
            else:
                results[file.path] = _render(questionnaire, stack, file, report)
        failures_of_rendering = len(report.failures)
        for variants in results.values():
            for result in variants:
                report.failures += [result.complaint(what) for what in _read_alone(result)]
        if results and len(report.failures) == failures_of_rendering:
            report.failures += _read_by_tools(into / stack, results)
    report.seconds = time.monotonic() - started
    return report


def _render(questionnaire: Questionnaire, stack: str, file: TemplateFile, report: FilesReport) -> list[Result]:
    distinct: dict[str, Result] = {}
    names = _with_what_validators_ask(questionnaire, file.answers)
    tried = {name: _values(questionnaire, stack, name, file) for name in sorted(names)}
    factors = {name: values for name, values in tried.items() if name in file.answers}
    others = {name: values for name, values in tried.items() if name not in file.answers}
    count = prod(len(values) for values in factors.values())
    if count > MOST_COMBINATIONS:
        report.sampled.append(f"{file.path} ({count} combinations: a 3-way array)")
        rows = cover(factors, strength=3)
    else:
        rows = [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]
    report.combinations += count
    try:
        path = questionnaire.environment.from_string(file.path)
        body = questionnaire.environment.from_string(file.body or "")
    except jinja2.TemplateError as error:
        report.failures.append(f"{file.path}: {type(error).__name__}: {error}")
        return []
    for row in rows:
        # What only validators ask for does not change the file: any that they accept will do.
        given = ({"stack": stack} | row | dict(zip(others, some, strict=True)) for some in product(*others.values()))
        answers = next(filter(None, map(questionnaire.accepted, map(_without_gaps, given))), None)
        if answers is None or any(piece.leaves_out(file.path, answers) for piece in file.pieces):
            continue
        shown = {name: answers[name] for name in tried}
        namespace = questionnaire.for_templates(answers)
        try:
            # File names carry no conditions, so the rendered name is the same for all (a test holds that).
            result = Result(path.render(cookiecutter=namespace), body.render(cookiecutter=namespace), shown)
        except jinja2.TemplateError as error:
            report.failures.append(Result(file.path, "", shown).complaint(f"{type(error).__name__}: {error}"))
            break
        distinct.setdefault(result.text, result)
    report.distinct += len(distinct)
    return list(distinct.values())


def _with_what_validators_ask(questionnaire: Questionnaire, names: frozenset[str]) -> set[str]:
    """An answer that applies only beside another one is tried together with it."""
    closed = set(names)
    waiting = list(names)
    while waiting:
        validator = questionnaire.questions[waiting.pop()].validator
        new = meta.find_undeclared_variables(questionnaire.environment.parse(validator)) & set(questionnaire.questions)
        waiting += new - closed
        closed |= new
    return closed


# What can be said about a text alone, by the end of its name.
_PARSERS: dict[str, Callable[[str], object]] = {
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yml": lambda text: list(yaml.safe_load_all(text)),
    ".yaml": cloudformation.read,
    ".ini": lambda text: configparser.ConfigParser(interpolation=None).read_string(text),
    ".editorconfig": lambda text: configparser.ConfigParser().read_string(f"[top]\n{text}"),
}


def _read_alone(result: Result) -> Iterator[str]:
    for ending, parse in _PARSERS.items():
        if result.path.endswith(ending):
            try:
                parse(result.text)
            except (ValueError, SyntaxError, yaml.YAMLError, configparser.Error) as error:
                yield f"does not parse as {ending}: {error}"
    of_engines = _LEFTOVER_IN_PAGE if "/templates/" in result.path else _LEFTOVER
    if leftover := of_engines.search(result.text):
        yield f"a tag of the template is left over: {leftover.group()!r}"
    if result.text and not result.path.startswith(_PROSE):
        if not result.text.endswith("\n") or result.text.endswith("\n\n"):
            yield "does not end with one line break"
        if spaces := re.search(r"[ \t\r]+$", result.text, re.MULTILINE):
            line = result.text[: spaces.start()].count("\n") + 1
            yield f"spaces at the end of line {line}"


def _read_by_tools(into: Path, results: dict[str, list[Result]]) -> list[str]:
    """Lay the distinct results out as a few project trees, and let each tool read all of them in one run.

    Tree number n has the n-th result of each file that has so many.
    """
    folders = {str(Path(path).parent) for path in results}
    settings = [tomllib.loads(result.text).get("tool", {}).get("ruff") for result in results.get("pyproject.toml", [])]
    if any(other != settings[0] for other in settings):
        return ["pyproject.toml: the linter's settings depend on answers, so no file can be checked alone"]
    written: dict[str, Result] = {}
    trees = []
    for number in range(max((len(variants) for variants in results.values()), default=0)):
        tree = into / f"{number:04}"
        trees.append(tree)
        for folder in folders:
            (tree / folder).mkdir(parents=True, exist_ok=True)
        for path, variants in results.items():
            if number < len(variants):
                written[f"{tree.name}/{path}"] = variants[number]
                (tree / path).write_text(variants[number].text, "utf-8", newline="")
            elif path == "pyproject.toml":
                (tree / path).write_text(variants[0].text, "utf-8", newline="")
    paths = list(written)
    workflows = [path for path in paths if "/.github/workflows/" in path]
    pipelines = [path for path in paths if path.endswith("/.gitlab-ci.yml")]
    compositions = [path for path in paths if path.endswith("/compose.yml")]
    clouds = [path for path in paths if path.endswith("/deploy/aws/template.yaml")]
    images = [path for path in paths if path.endswith("/Dockerfile")]
    runs = [
        ["ruff", "check", "--no-cache", "--no-respect-gitignore", "--output-format=concise", "."],
        ["ruff", "format", "--no-cache", "--no-respect-gitignore", "--check", "."],
    ]
    if workflows:
        runs.append(["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows])
        runs.append(["zizmor", "--offline", "--no-progress", "--format=plain", *workflows])
    if pipelines:
        schema = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
        runs.append(["check-jsonschema", *schema, *pipelines])
    if compositions:
        runs.append(["check-jsonschema", "--builtin-schema", "vendor.compose-spec", *compositions])
    if images:
        runs.append(["hadolint", "--no-color", *images])
    if clouds:
        runs.append(["cfn-lint", "--non-zero-exit-code", "informational", "--format", "parseable", "--", *clouds])
    runs += [["just", "--justfile", path, "--dump"] for path in paths if path.endswith("/justfile")]
    return [failure for run in runs for failure in _run(run, into, written)]


def _run(command: list[str], folder: Path, written: dict[str, Result]) -> Iterator[str]:
    tool = Path(sys.executable).with_name(command[0])
    done = subprocess.run([tool, *command[1:]], cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr).replace("\\", "/").splitlines()
    blamed = False
    for line in said:
        for path, result in written.items():
            if path in line:
                blamed = True
                yield result.complaint(f"{' '.join(command[:2])}: {line.strip()}")
                break
    if not blamed:
        yield f"{' '.join(command)}: {' '.join(said[-20:])}"
