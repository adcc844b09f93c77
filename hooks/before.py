"""Before generation: refuse what cannot become a good project, decide what goes into it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hooks.answers import (
    ANSWERS_FILE,
    Questionnaire,
    answers_file,
    applicable,
    left_out,
    next_steps,
    refusals,
    typed,
)
from hooks.origin import origin

PLAN = ".twostacks-plan.json"  # read and removed by the hook after generation
SAME_MOMENT = 100_000_000  # nanoseconds between two folders that one mkdir makes on a busy machine
FINISH = """
import pathlib, sys, time
project, *parents = map(pathlib.Path, sys.argv[1:])
for _ in range(2000):
    if not project.exists():
        break
    time.sleep(0.001)
try:
    for parent in parents:
        parent.rmdir()
except OSError:
    pass
"""


def before(questions: str, context: str) -> int:
    """Runs in the new project's folder, which cookiecutter has made; returns the exit status."""
    questionnaire: Questionnaire = json.loads(questions)
    cookiecutter: dict[str, Any] = json.loads(context)
    project = Path.cwd()
    answers = typed(questionnaire, cookiecutter)
    sentences = refusals(questionnaire, answers)
    if any(project.iterdir()):
        sentences.append(
            f"The folder {project.name} already holds something and was left as it is: "
            'bring a project up to date with "uvx copier update", or choose another project slug.'
        )
    if sentences:
        print(*sentences, sep="\n", file=sys.stderr)
        remove_later(project, folders_made_with(project, Path(cookiecutter.get("_output_dir", project.parent))))
        return 1
    remembered = origin(questions, cookiecutter) | applicable(questionnaire, answers)
    plan = {
        "left_out": left_out(questionnaire, answers),
        "next_steps": next_steps(questionnaire, answers, remembered, folder_to_enter(project, cookiecutter)),
    }
    (project / ANSWERS_FILE).write_text(answers_file(remembered), encoding="utf-8", newline="\n")
    (project / PLAN).write_text(json.dumps(plan), encoding="utf-8")
    return 0


def folder_to_enter(project: Path, cookiecutter: Mapping[str, Any]) -> str:
    in_working_folder = cookiecutter.get("_output_dir") == os.environ.get("PWD")
    return project.name if in_working_folder else str(project)


def folders_made_with(project: Path, output: Path) -> list[Path]:
    """The parents that cookiecutter made together with the project's folder, the innermost first.

    Nothing says which these are. But a folder that has just been made holds nothing else, and it and its own parent
    changed in the same moment as the project's folder.
    """
    born = project.stat().st_mtime_ns
    if any(project.iterdir()) or time.time_ns() - born > 10_000_000_000:
        return []
    made: list[Path] = []
    for folder in sorted({*project.parents, output, *output.parents}, key=lambda one: -len(one.parts)):
        moments = [one.stat().st_mtime_ns - born for one in (folder, folder.parent)]
        if all(abs(moment) < SAME_MOMENT for moment in moments) and set(folder.iterdir()) <= {project, *made}:
            made.append(folder)
    return made


def remove_later(project: Path, parents: list[Path]) -> None:
    """cookiecutter removes the project's folder after this hook has ended, but not the parents it made for it."""
    if parents:
        subprocess.Popen([sys.executable, "-c", FINISH, str(project), *map(str, parents)], cwd=project.anchor)
