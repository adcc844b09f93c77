"""A preset is a file of answers that both engines take, and a whole product."""

from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from proof import traffic
from proof.generate import ROOT, with_copier
from proof.postgres import Server
from proof.processes import clean_environment, run
from proof.questions import Questionnaire
from tests.brokers import found_or_own
from tests.engines import cookiecutter, copier, remembered, tree

QUESTIONNAIRE = Questionnaire(ROOT)
PRESETS = sorted((ROOT / "presets").glob("*.yml"))
EACH = pytest.mark.parametrize("preset", PRESETS, ids=[preset.stem for preset in PRESETS])


def answers_of(preset: Path) -> dict[str, Any]:
    answers: dict[str, Any] = yaml.safe_load(preset.read_text("utf-8"))
    del answers["default_context"]
    return answers


RECEIVERS = [preset for preset in PRESETS if answers_of(preset).get("webhooks")]


@EACH
def test_a_preset_makes_the_same_project_with_both_engines(preset: Path, template: Path, tmp_path: Path) -> None:
    stack = yaml.safe_load(preset.read_text("utf-8"))["stack"]
    given = ("--config-file", preset, "--directory", f"template-{stack}", template)
    cookiecutter("-o", tmp_path / "cookiecutter", *given, cwd=tmp_path, HOME=str(tmp_path))
    copier("copy", "--defaults", "--data-file", preset, template, "copier", cwd=tmp_path)
    [one] = (tmp_path / "cookiecutter").iterdir()
    assert tree(one) == tree(tmp_path / "copier")
    assert remembered(one) == remembered(tmp_path / "copier")


@EACH
def test_a_preset_answers_only_what_its_stack_asks_and_both_engines_alike(preset: Path) -> None:
    answers = yaml.safe_load(preset.read_text("utf-8"))
    for_cookiecutter = answers.pop("default_context")
    asked = QUESTIONNAIRE.asked(answers.pop("stack"))
    assert set(answers) <= set(asked)
    for name, answer in answers.items():
        assert for_cookiecutter.pop(name) == (",".join(answer) if isinstance(answer, list) else answer)
    assert not for_cookiecutter


@pytest.mark.parametrize("preset", RECEIVERS, ids=[preset.stem for preset in RECEIVERS])
def test_a_preset_takes_a_day_of_webhooks_and_does_each_once(preset: Path, template: Path, tmp_path: Path) -> None:
    answers = answers_of(preset)
    project = with_copier(template, answers, tmp_path)
    run(["uv", "sync", "--quiet", "--no-dev"], project, clean_environment())
    senders = traffic.senders_of(answers["webhooks"])
    databases = Server()
    with ExitStack() as stack:
        stack.callback(databases.stop)
        database_url = stack.enter_context(databases.new_database())
        broker_url, _ = stack.enter_context(found_or_own(answers["broker"]))
        words = {name: str(answer) for name, answer in answers.items()}
        receiver = stack.enter_context(traffic.receiving(project, senders, words, database_url, broker_url))
        requests = traffic.a_day(senders, Random(preset.stem))  # noqa: S311 (the same events each time)
        answered, figures = traffic.bring(receiver, requests)
        wrong = traffic.what_is_wrong(requests, answered, receiver.evidence)
    print(f"{preset.stem}: {figures}")
    assert not wrong, "\n".join(wrong)
