"""Layer 1 of the proof."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proof.arrays import Factors, Row, cover, missing, rotate
from proof.files import MOST_COMBINATIONS, check_every_file, rendered_tree, template_files
from proof.generate import ROOT
from proof.questions import Questionnaire

QUESTIONNAIRE = Questionnaire(ROOT)


def test_every_file_that_any_answers_can_produce_is_sound(tmp_path: Path) -> None:
    report = check_every_file(QUESTIONNAIRE, tmp_path)
    print(report, *report.sampled, sep="\n")
    assert not report.failures, "\n".join(report.failures)
    # README.md and pyproject.toml of both stacks, FastAPI's compose.yml, .env.example and page on AWS, and Django's
    # settings.
    assert len(report.sampled) <= 8, f"more than {MOST_COMBINATIONS} combinations: {report.sampled}"


def test_every_path_of_a_piece_exists_in_the_template() -> None:
    files = {file.path for stack in QUESTIONNAIRE.stacks for file in template_files(QUESTIONNAIRE, stack)}
    for piece in QUESTIONNAIRE.pieces:
        for path in piece.paths:
            assert any(file == path or file.startswith(f"{path}/") for file in files), f"{piece.name}: no {path}"


@pytest.mark.parametrize(
    "given",
    [
        {"auth": "none", "jobs": False, "webhooks": [], "outbox": False, "rate_limits": False, "observability": []},
        {"auth": "users", "jobs": True, "outbox": True, "rate_limits": True, "broker": "redis"},
        {"webhooks": ["hmac"], "observability": ["metrics", "traces", "sentry"], "database": "postgresql"},
    ],
)
def test_what_is_offered_in_the_example_of_settings_reaches_the_containers(given: dict[str, Any]) -> None:
    answers = QUESTIONNAIRE.accepted({"stack": "fastapi", "project_slug": "my-service", "container": True} | given)
    assert answers is not None
    tree = rendered_tree(QUESTIONNAIRE, answers)
    offered = set(re.findall(r"^(?:# )?(APP_\w+)=", tree[".env.example"], re.MULTILINE))
    passed = yaml.safe_load(tree["compose.yml"])["x-app"]["environment"]

    assert offered <= passed.keys()


def test_a_covering_array_leaves_no_combination_out() -> None:
    factors: Factors = {"a": [1, 2, 3], "b": [True, False], "c": ["x", "y"], "d": [None, 0]}
    for strength in (1, 2, 3, 4):
        assert not missing(factors, cover(factors, strength), strength)


def test_a_covering_array_holds_only_what_is_accepted() -> None:
    factors: Factors = {"a": [1, 2, 3], "b": [True, False], "c": ["x", "y"], "d": [None, 0]}

    def accepts(row: Row) -> bool:
        return not (row.get("a") == 1 and row.get("c") == "y")

    for strength in (2, 3):
        rows = cover(factors, strength, accepts)
        assert all(accepts(row) for row in rows)
        assert not missing(factors, rows, strength, accepts)
        assert missing(factors, rows, strength)


def test_the_check_of_an_array_notices_a_missing_combination() -> None:
    factors = {"a": [1, 2], "b": [1, 2], "c": [1, 2]}
    rows = cover(factors, 2)
    assert all(missing(factors, rows[:left_out] + rows[left_out + 1 :], 2) for left_out in range(4))


def test_a_rotating_value_waits_for_a_row_that_accepts_it() -> None:
    rows = rotate([{"a": 1}, {"a": 2}], {"b": ["x", "y"]}, lambda row: row != {"a": 1, "b": "x"})
    assert rows == [{"a": 1, "b": "y"}, {"a": 2, "b": "x"}]


def test_rotating_factors_get_each_of_their_values_built() -> None:
    rows = rotate([{"a": 1}, {"a": 2}], {"b": ["x", "y", "z"]})
    assert [row["b"] for row in rows] == ["x", "y", "z"]
    assert {row["a"] for row in rows} == {1, 2}


def test_what_several_values_make_impossible_is_in_no_row() -> None:
    factors: Factors = {name: [False, True] for name in "abcde"} | {"f": ["x", "y", "z"]}

    def accepts(row: Row) -> bool:
        return not (row.get("f") in ("y", "z") and all(row.get(name) is False for name in "abc"))

    for strength in (2, 3):
        rows = cover(factors, strength, accepts)
        assert all(map(accepts, rows))
        assert not missing(factors, rows, strength, accepts)
