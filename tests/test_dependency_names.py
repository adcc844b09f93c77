"""A project must not have the name of a package that it depends on: it would depend on itself."""

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from proof.generate import ROOT, with_cookiecutter
from proof.processes import clean_environment
from proof.projects import Variant, as_word, factors_of_running_code, interpreter
from proof.questions import Questionnaire

QUESTIONNAIRE = Questionnaire(ROOT)


def each_value_once(stack: str) -> Iterator[Variant]:
    """What a project depends on is the sum of what its answers bring, so no pairs are needed."""
    factors = QUESTIONNAIRE.one_by_one(factors_of_running_code(QUESTIONNAIRE, stack))
    for index in range(max(map(len, factors.values()))):
        # The last value stays: others may need it.
        row = {name: values[min(index, len(values) - 1)] for name, values in factors.items()}
        words = {name: as_word(value) for name, value in QUESTIONNAIRE.together(row).items()}
        yield Variant({"stack": stack} | words)


ROWS = [variant for stack in QUESTIONNAIRE.stacks for variant in each_value_once(stack)]


@pytest.mark.parametrize("variant", ROWS, ids=[variant.name for variant in ROWS])
def test_no_dependency_of_a_project_is_accepted_as_its_name(variant: Variant, template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, variant.answers(QUESTIONNAIRE), tmp_path)
    python, _ = interpreter(QUESTIONNAIRE.complete({})["python_version"])
    subprocess.run(["uv", "lock", "--quiet"], cwd=project, env=clean_environment(UV_PYTHON=python), check=True)
    locked = tomllib.loads((project / "uv.lock").read_text("utf-8"))["package"]
    names = {package["name"] for package in locked} - {project.name}
    assert len(names) > 20
    accepted = [
        name
        for name in sorted(names)
        if "project_slug" not in QUESTIONNAIRE.refusals(QUESTIONNAIRE.complete({"project_slug": name}))
    ]
    assert not accepted, f"add to questions/package-names.txt: {' '.join(accepted)}"
