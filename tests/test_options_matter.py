"""No ghost options: every value of every answer changes the project."""

from typing import Any

import pytest

from proof.files import rendered_tree
from proof.generate import ROOT
from proof.questions import Questionnaire

QUESTIONNAIRE = Questionnaire(ROOT)
QUESTIONS = [(stack, name) for stack in QUESTIONNAIRE.stacks for name in QUESTIONNAIRE.asked(stack)]


@pytest.mark.parametrize(("stack", "name"), QUESTIONS, ids=[f"{stack}-{name}" for stack, name in QUESTIONS])
def test_every_value_of_an_answer_gives_another_project(stack: str, name: str) -> None:
    seen: dict[frozenset[tuple[str, str]], Any] = {}
    for value in QUESTIONNAIRE.questions[name].values:
        given = {"stack": stack, "project_slug": "my-service"} | {name: value}
        answers = QUESTIONNAIRE.accepted(given)
        assert answers is not None
        tree = frozenset(rendered_tree(QUESTIONNAIRE, answers).items())
        assert tree not in seen, f"{name}={value} makes the same project as {name}={seen[tree]}"
        seen[tree] = value
