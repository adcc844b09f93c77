"""The questionnaire as the proof sees it: questions, their values, and the pieces they switch on."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations, product
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import meta

Answers = Mapping[str, Any]

NASTY = 'O\'Brien & Söhne "Q" \\ <b> # : — 東京'
# Free text has no choices: each is tried plain (its default) and as difficult as its validator allows.
NASTY_TEXT = {
    "project_name": NASTY,
    "project_slug": "a-name-that-is-exactly-as-long-as-a-name-may-be-50",
    "description": NASTY,
    "author_name": NASTY,
    "author_email": "o'brien+q@mail.example.com",
}
_PIECE = re.compile(r"{#-?\s*(?P<name>\w+):\s*(?P<meaning>.*?)\s*-?#}", re.DOTALL)


@dataclass(frozen=True)
class Question:
    name: str
    kind: str
    help: str
    default: Any
    choices: Mapping[str, Any]
    multiple: bool
    when: str
    validator: str

    @property
    def free_text(self) -> bool:
        return self.kind == "str" and not self.choices

    @property
    def values(self) -> list[Any]:
        """Every value that the proof tries, the default (or plain) one first."""
        if self.kind == "bool":
            return [self.default, not self.default]
        if self.multiple:
            members = list(self.choices.values())
            sets = [",".join(some) for size in range(len(members) + 1) for some in combinations(members, size)]
            return sorted(sets, key=lambda some: some != ",".join(self.default))
        if self.choices:
            return sorted(self.choices.values(), key=lambda value: bool(value != self.default))
        return [None, NASTY_TEXT[self.name]]


@dataclass(frozen=True)
class Piece:
    name: str
    meaning: str
    source: str
    paths: tuple[str, ...]
    template: jinja2.Template
    answers: frozenset[str]

    def owns(self, path: str) -> bool:
        return any(path == own or path.startswith(f"{own}/") for own in self.paths)

    def leaves_out(self, path: str, answers: Answers) -> bool:
        left_out = self.template.render(**answers).split()
        return any(path == own or path.startswith(f"{own}/") for own in left_out)


class Questionnaire:
    """`copier.yml` and the question files that it includes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        settings, raw = _read(root)
        self._raw = raw
        self._answers_for_templates: str = raw["cookiecutter"]["default"]
        envops = dict(settings["_envops"])
        undefined = {"jinja2.StrictUndefined": jinja2.StrictUndefined}[envops.pop("undefined")]
        # No extension and no filter of either engine: what renders here renders in both.
        self.environment = jinja2.Environment(undefined=undefined, **envops)
        # Questions may include what lies beside them; the files of a template may not.
        self._of_questions = self.environment.overlay(loader=jinja2.FileSystemLoader(root))
        self.questions = {
            name: Question(
                name=name,
                kind=question["type"],
                help=question.get("help", ""),
                default=question.get("default"),
                choices=_choices(question.get("choices", {})),
                multiple=bool(question.get("multiselect")),
                when=str(question.get("when", True)),
                validator=question.get("validator", ""),
            )
            for name, question in raw.items()
            if question.get("when") is not False
        }
        self.pieces = [self._piece(source) for source in settings["_exclude"] if _PIECE.match(source.strip())]

    def _piece(self, source: str) -> Piece:
        comment = _PIECE.match(source.strip())
        assert comment
        lines = [line.strip() for line in source.splitlines()]
        paths = tuple(line for line in lines if line and not line.startswith("{"))
        mentioned = meta.find_undeclared_variables(self.environment.parse(source))
        return Piece(
            comment["name"],
            comment["meaning"],
            source,
            paths,
            self.environment.from_string(source),
            frozenset(mentioned & set(self.questions)),
        )

    @property
    def stacks(self) -> list[str]:
        return [str(stack) for stack in self.questions["stack"].values]

    @cache  # noqa: B019 (a questionnaire lives as long as the program)
    def asked(self, stack: str) -> Mapping[str, Question]:
        """The questions that a stack asks, whatever else was answered; `stack` itself aside."""
        return {
            name: question
            for name, question in self.questions.items()
            if name != "stack" and self._may_ask(question, stack)
        }

    def one_by_one(self, factors: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Where several may be chosen, each choice is a factor of its own: else their sets would multiply all rows."""
        split: dict[str, list[Any]] = {}
        for name, values in factors.items():
            if name in self.questions and self.questions[name].multiple:
                split |= {f"{name}={choice}": [False, True] for choice in self.questions[name].choices.values()}
            else:
                split[name] = values
        return split

    def together(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The answers of a row of such factors; of a question some of whose choices are still open, none."""
        answers = {name: value for name, value in row.items() if "=" not in name}
        for name in dict.fromkeys(name.split("=")[0] for name in row if "=" in name):
            chosen = {choice: row.get(f"{name}={choice}") for choice in self.questions[name].choices.values()}
            if None not in chosen.values():
                answers[name] = ",".join(choice for choice, is_chosen in chosen.items() if is_chosen)
        return answers

    def apart(self, words: Mapping[str, str], factors: Iterable[str]) -> dict[str, Any]:
        """The row of such factors that has these words: the opposite of `together`."""
        row: dict[str, Any] = {}
        for factor in factors:
            name, _, choice = factor.partition("=")
            row[factor] = choice in words[name].split("+") if choice else words[name]
        return row

    def _may_ask(self, question: Question, stack: str) -> bool:
        when = self.environment.from_string(question.when)
        named = meta.find_undeclared_variables(self.environment.parse(question.when)) & set(self.questions)
        others = [[(name, value) for value in self.questions[name].values] for name in sorted(named - {"stack"})]
        return any(
            when.render(**self.complete({"stack": stack, **dict(given)})) == "True" for given in product(*others)
        )

    def tree(self, stack: str) -> Path:
        return self.root / f"template-{stack}" / "{{cookiecutter.project_slug}}"

    @cached_property
    def _compiled(self) -> dict[str, jinja2.Template]:
        return {
            source: self._of_questions.from_string(source)
            for question in self.questions.values()
            for source in (question.default, question.validator)
            if isinstance(source, str)
        } | {self._answers_for_templates: self._of_questions.from_string(self._answers_for_templates)}

    def _render(self, source: str, answers: Answers) -> str:
        """Arrays ask a hundred thousand times, and each text depends on a few answers only."""
        seen = tuple((name, repr(answers[name])) for name in self._named_in[source] if name in answers)
        if (source, seen) not in self._rendered:
            self._rendered[source, seen] = self._compiled[source].render(**answers)
        return self._rendered[source, seen]

    @cached_property
    def _rendered(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], str]:
        return {}

    @cached_property
    def _named_in(self) -> dict[str, list[str]]:
        return {
            source: sorted(meta.find_undeclared_variables(self.environment.parse(source)) & set(self.questions))
            for source in self._compiled
        }

    def complete(self, given: Answers) -> dict[str, Any]:
        """All answers: the given ones, and for the rest (and for None) what the questionnaire proposes."""
        answers: dict[str, Any] = {}
        for name, question in self.questions.items():
            if given.get(name) is not None:
                several = question.multiple and isinstance(given[name], str)
                answers[name] = [one for one in given[name].split(",") if one] if several else given[name]
            elif isinstance(question.default, str):
                answers[name] = self._render(question.default, answers)
            else:
                answers[name] = question.default
        return answers

    def refusals(self, answers: Answers) -> dict[str, str]:
        """What the validators say about complete answers, by question; empty when all are fine."""
        said = {
            name: " ".join(self._render(question.validator, answers).split())
            for name, question in self.questions.items()
            if question.validator
        }
        return {name: sentence for name, sentence in said.items() if sentence}

    def accepts(self, given: Answers) -> bool:
        """Whether choices can stand together: there are answers to the other questions that no validator refuses."""
        choices = {name: given[name] for name in self._in_validators_of_choices if name in given}
        return self._accepts(tuple(choices.items()))

    def accepted(self, given: Answers) -> dict[str, Any] | None:
        """Complete answers that no validator refuses, with the given ones in them; None when there are none.

        What is not given has its default, unless that is refused beside what is given.
        """
        answers = self.complete(given)
        refused = self.refusals(answers)
        if not refused:
            return answers
        named = {name for one in refused for name in self._named_by_validators[one]}
        for name in sorted(named & set(self._in_validators_of_choices) - given.keys() - {"stack"}):
            for value in self.questions[name].values:
                if value != answers[name] and (found := self.accepted({**given, name: value})) is not None:
                    return found
        return None

    @cached_property
    def _named_by_validators(self) -> dict[str, set[str]]:
        return {
            name: meta.find_undeclared_variables(self.environment.parse(question.validator)) & set(self.questions)
            for name, question in self.questions.items()
        }

    @cached_property
    def _in_validators_of_choices(self) -> list[str]:
        choices = [name for name, question in self.questions.items() if not question.free_text]
        return sorted({named for name in choices for named in self._named_by_validators[name]})

    @cache  # noqa: B019 (a questionnaire lives as long as the program)
    def _accepts(self, given: tuple[tuple[str, Any], ...]) -> bool:
        return self.accepted(dict(given)) is not None

    def for_templates(self, answers: Answers) -> dict[str, Any]:
        """The `cookiecutter` namespace that a template sees, from the same line that copier computes it with."""
        text = self._compiled[self._answers_for_templates].render(
            **answers, _copier_conf={"answers_file": ".copier-answers.yml"}
        )
        namespace: dict[str, Any] = json.loads(text)
        return namespace


def _choices(raw: Any) -> dict[str, Any]:
    return dict(raw) if isinstance(raw, dict) else {str(value): value for value in raw}


def _read(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings (names that start with an underscore) and raw questions, in the order of copier.yml."""
    settings: dict[str, Any] = {"_exclude": []}
    questions: dict[str, Any] = {}
    for document in _documents(root / "copier.yml"):
        for name, value in document.items():
            if name == "_exclude":
                settings["_exclude"] += value
            elif name.startswith("_"):
                settings[name] = value
            else:
                questions[name] = value
    return settings, questions


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    class Loader(yaml.SafeLoader):
        pass

    def include(loader: yaml.SafeLoader, node: yaml.Node) -> list[dict[str, Any]]:
        assert isinstance(node, yaml.ScalarNode)
        return list(_documents(path.parent / loader.construct_scalar(node)))

    Loader.add_constructor("!include", include)
    for document in yaml.load_all(path.read_text("utf-8"), Loader):
        yield from document if isinstance(document, list) else [document]
