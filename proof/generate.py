"""Projects made with either engine, as a script makes them: nothing is asked, nothing of the user's own is read."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import copier
import plumbum
import yaml

ROOT = Path(__file__).resolve().parent.parent

# Git as on a machine where nobody has configured it, with commits that are the same every time.
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Proof",
    "GIT_AUTHOR_EMAIL": "proof@example.com",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Proof",
    "GIT_COMMITTER_EMAIL": "proof@example.com",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


COOKIECUTTER = """
import json, logging, sys
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
logging.disable()
try:
    print(cookiecutter(**json.load(sys.stdin)))
except FailedHookException:
    sys.exit(1)
except ValueError as error:
    sys.exit(str(error))
"""


class Refused(Exception):
    """An engine did not make the project; the message is what it said."""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | GIT, check=True, capture_output=True, encoding="utf-8"
    ).stdout


def commit(folder: Path, tag: str | None = None) -> None:
    """Commit everything in the folder, ignored files too, and tag it."""
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", tag or "change")
    if tag:
        git(folder, "tag", tag)


def snapshot(into: Path, tag: str = "v0.0.1") -> Path:
    """This repository's working tree, without ignored files, as a repository of its own with one tagged commit."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    git(into, "init", "--quiet")
    commit(into, tag)
    return into


def with_cookiecutter(template: Path, answers: Mapping[str, object], into: Path) -> Path:
    """The project's folder, `into/<slug>`. An answer of several choices may be a list. Raises Refused."""
    given = {name: as_text(answer) if isinstance(answer, list) else answer for name, answer in answers.items()}
    stack = given.pop("stack", "fastapi")
    with tempfile.TemporaryDirectory() as private:
        config = Path(private) / "config.yml"
        config.write_text(json.dumps({"cookiecutters_dir": private, "replay_dir": private}), encoding="utf-8")
        arguments = {
            "template": str(template),
            "directory": f"template-{stack}",
            "no_input": True,
            "extra_context": given,
            "output_dir": str(into),
            "config_file": str(config),
        }
        # A process of its own: cookiecutter changes the working directory, and its hooks print.
        done = subprocess.run(
            [sys.executable, "-c", COOKIECUTTER],
            input=json.dumps(arguments),
            env=os.environ | GIT | {"PYTHONUTF8": "1"},
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
    if done.returncode:
        raise Refused(done.stderr.strip())
    return Path(done.stdout.strip())


def with_copier(template: Path, answers: Mapping[str, object], into: Path) -> Path:
    """The project's folder, `into/<slug>`. An answer of several choices may be comma text. Raises Refused."""
    several = {name for name, question in questions(template).items() if question.get("multiselect")}
    given = dict(answers)
    for name in several & set(given):
        given[name] = [one.strip() for one in as_text(given[name]).split(",") if one.strip()]
    # Only the answers know the slug, so the folder gets its name afterwards.
    made = into / f".{uuid4().hex}"
    try:
        with plumbum.local.env(**GIT):
            copier.run_copy(
                str(template), made, given, vcs_ref="HEAD", defaults=True, quiet=True, settings=copier.Settings()
            )
        slug = yaml.safe_load((made / ".copier-answers.yml").read_text("utf-8"))["project_slug"]
        return made.rename(into / slug)
    except ValueError as error:
        raise Refused(str(error)) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def as_text(answer: object) -> str:
    return ",".join(answer) if isinstance(answer, list) else str(answer)


def questions(template: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in (template / "questions").glob("*.yml"):
        for name, question in yaml.safe_load(file.read_text("utf-8")).items():
            if not name.startswith("_"):
                found[name] = question
    return found
