"""Both engines as a person uses them, and what they made."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from proof.generate import GIT

ANSWERS_FILE = ".copier-answers.yml"
NASTY = """O'Brien & Söhne "Q" \\ <b> # : — 東京"""

Run = subprocess.CompletedProcess[str]


def run(*command: object, cwd: Path, check: bool = True, **environment: str) -> Run:
    """PWD is the working folder, as in a shell."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | GIT | {"PWD": str(cwd)} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def cookiecutter(*arguments: object, cwd: Path, check: bool = True, **environment: str) -> Run:
    command = (sys.executable, "-m", "cookiecutter", "--no-input", *arguments)
    return run(*command, cwd=cwd, check=check, **environment)


def copier(*arguments: object, cwd: Path, check: bool = True) -> Run:
    return run(sys.executable, "-m", "copier", *arguments, cwd=cwd, check=check)


def remembered(project: Path) -> dict[str, Any]:
    answers: dict[str, Any] = yaml.safe_load((project / ANSWERS_FILE).read_text("utf-8"))
    return answers


def tree(project: Path, *without: str) -> dict[str, tuple[int, bytes]]:
    """Mode and content of each file, by path; empty folders too. Without git and the answers file."""
    found = {}
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project).as_posix()
        if name.startswith((".git/", *without)) or name in {".git", ANSWERS_FILE}:
            continue
        if path.is_file():
            found[name] = (path.stat().st_mode, path.read_bytes())
        elif not any(path.iterdir()):
            found[f"{name}/"] = (0, b"")
    return found
