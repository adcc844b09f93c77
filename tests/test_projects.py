"""Layer 2 of the proof, pairwise: each row is a whole project that is built, checked, migrated and served."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from proof.generate import ROOT
from proof.postgres import Server
from proof.projects import Variant, build, factors_of_running_code, named, presets, variants
from proof.questions import Questionnaire

QUESTIONNAIRE = Questionnaire(ROOT)
ROWS, _ = variants(QUESTIONNAIRE, strength=2)
# The richest of each stack: with coverage, tests take half as long again. `make prove` measures every row.
MEASURED = ("mca-portal", "school-reports")


@pytest.fixture(scope="session")
def databases() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.mark.parametrize("variant", ROWS, ids=[row.name for row in ROWS])
def test_a_project_builds_checks_migrates_and_serves(
    variant: Variant, template: Path, databases: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.getbasetemp()
    products = presets(QUESTIONNAIRE)
    measures = any(products[name].items() <= variant.words.items() for name in MEASURED)
    outcome = build(variant, template, home / "projects", databases, shared=home / "shared", measures=measures)
    print(outcome)
    if outcome.instead:
        warnings.warn(f"{variant.name}{outcome.instead}", stacklevel=1)
    assert not outcome.failed, str(outcome)


def test_every_value_of_every_question_is_built_at_least_once() -> None:
    for stack in QUESTIONNAIRE.stacks:
        rows = [row.words for row in ROWS if row.words["stack"] == stack]
        for name, question in QUESTIONNAIRE.asked(stack).items():
            if question.multiple:
                for choice in question.choices.values():
                    assert {choice in row[name].split("+") for row in rows} == {False, True}, (name, choice)
            elif not question.free_text:
                assert len({row[name] for row in rows}) == len(question.values), name
        assert {row["text"] for row in rows} == {"plain", "nasty"}
    assert "6.0" in {row.words.get("django") for row in ROWS}


def test_every_preset_is_built_and_counts_as_a_row_of_the_array() -> None:
    products = presets(QUESTIONNAIRE)
    assert len(products) == 4
    for words in products.values():
        assert any(words.items() <= row.words.items() for row in ROWS)


def test_answers_that_change_the_running_code_are_found_from_the_code() -> None:
    assert {"auth", "database", "example"} <= set(factors_of_running_code(QUESTIONNAIRE, "fastapi"))
    assert "license" not in factors_of_running_code(QUESTIONNAIRE, "fastapi")
    assert {"database", "example", "admin_extras"} <= set(factors_of_running_code(QUESTIONNAIRE, "django"))


def test_a_variant_is_reproduced_by_its_name() -> None:
    for row in ROWS:
        assert named(QUESTIONNAIRE, row.name) == row


def test_a_variant_that_the_template_refuses_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"unfold needs Python 3\.12 or newer"):
        named(QUESTIONNAIRE, "stack=django,admin_theme=unfold,python_version=3.11")


def test_a_variant_with_a_mistyped_answer_is_refused() -> None:
    with pytest.raises(SystemExit, match="database=postgres is not one of"):
        named(QUESTIONNAIRE, "database=postgres")
