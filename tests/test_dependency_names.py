"""A project must not have the name of a package that it depends on: it would depend on itself."""

import itertools
import subprocess
import tomllib
from pathlib import Path

import pytest

from proof.generate import ROOT, with_cookiecutter
from proof.processes import clean_environment
from proof.projects import factors_of_running_code
from proof.questions import Questionnaire

QUESTIONNAIRE = Questionnaire(ROOT)
FACTORS = factors_of_running_code(QUESTIONNAIRE, "fastapi")
# What a project depends on is the sum of what its answers bring: each value once is enough.
ROWS = list(itertools.zip_longest(*FACTORS.values()))


@pytest.mark.parametrize("row", ROWS, ids=map(str, ROWS))
def test_no_dependency_of_a_project_is_accepted_as_its_name(
    row: tuple[str | None, ...], template: Path, tmp_path: Path
) -> None:
    answers = {name: value for name, value in zip(FACTORS, row, strict=True) if value is not None}
    project = with_cookiecutter(template, answers, tmp_path)
    subprocess.run(["uv", "lock", "--quiet"], cwd=project, env=clean_environment(), check=True)
    locked = tomllib.loads((project / "uv.lock").read_text("utf-8"))["package"]
    names = {package["name"] for package in locked} - {project.name}
    assert len(names) > 20
    accepted = [
        name
        for name in sorted(names)
        if "project_slug" not in QUESTIONNAIRE.refusals(QUESTIONNAIRE.complete({"project_slug": name}))
    ]
    assert not accepted, f"add to questions/package-names.txt: {' '.join(accepted)}"
