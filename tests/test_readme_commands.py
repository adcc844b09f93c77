"""Every command that a generated project's README.md and AGENTS.md show is executed, in order, in such a project."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proof.generate import ROOT, with_cookiecutter
from proof.postgres import Server
from proof.processes import clean_environment, free_port, run, server
from proof.questions import Questionnaire
from proof.stacks import STACKS

SERVES = re.compile(r"\bjust (dev|start)\b")
TESTS = re.compile(r"\bjust (test|check)\b")
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(document: Path) -> Iterator[str]:
    """The commands of the shell blocks; `$ ` in front of a line marks one among its output."""
    for block in BLOCK.findall(document.read_text("utf-8")):
        lines = block.replace("\\\n", " ").splitlines()
        shown = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] or lines
        yield from (line.strip() for line in shown if line.strip() and not line.lstrip().startswith("#"))


def more_for_production(answers: dict[str, object]) -> dict[str, str]:
    complete = Questionnaire(ROOT).complete(answers)
    return STACKS[complete["stack"]].production(complete, "")


@pytest.mark.parametrize(
    "answers",
    [
        {"database": "sqlite", "auth": "none"},
        {"database": "sqlite", "auth": "api_key"},
        {"database": "postgresql", "example": False, "jobs": True, "outbox": True},
        {"stack": "django", "database": "sqlite"},
        {"stack": "django", "database": "postgresql", "example": False, "broker": "redis"},
    ],
    ids=["open", "keys", "accounts on postgresql without the example", "django", "django on postgresql and redis"],
)
def test_every_command_in_the_documents_of_a_project_works(
    answers: dict[str, object], template: Path, tmp_path: Path
) -> None:
    project = with_cookiecutter(template, answers, tmp_path)
    port = str(free_port())
    shown = [command for name in ("README.md", "AGENTS.md") for command in commands(project / name)]
    assert any(SERVES.search(command) for command in shown)
    databases = Server()
    with ExitStack() as at_the_end:
        at_the_end.callback(databases.stop)
        url = (
            at_the_end.enter_context(databases.new_database())
            if answers["database"] == "postgresql"
            else f"sqlite:///{tmp_path / 'production.db'}"
        )
        production = {
            "APP_SECRET_KEY": "a key that only this test uses, of enough characters",
            "APP_ALLOWED_HOSTS": "127.0.0.1",
            "APP_DATABASE_URL": url,
            "APP_ENVIRONMENT": "production",
        } | more_for_production(answers)
        running = at_the_end.enter_context(ExitStack())
        some_tests: dict[str, str] = {}
        for command in shown:
            print(f"$ {command}", flush=True)
            if serves := SERVES.search(command):
                running.close()
                settings = {"APP_PORT": port} | (production if serves[1] == "start" else {})
                ready = f"http://127.0.0.1:{port}/health/ready"
                start = ["sh", "-c", f"exec {command}"]
                environment = clean_environment(**settings)
                running.enter_context(server(start, project, environment, ready, ctrl_c=serves[1] == "dev"))
            elif "just migrate" in command:
                # The next one serves production, on its database.
                running.close()
                print(run(["sh", "-c", command], project, clean_environment(**production)))
            elif command.startswith("curl "):
                assert shutil.which("curl"), "this test needs curl"
                asked = command.replace(":8000", f":{port}").replace("curl ", "curl --fail-with-body ", 1)
                print(run(["sh", "-c", asked], project, clean_environment()))
            elif TESTS.search(command):
                running.close()
                print(run(["sh", "-c", command], project, clean_environment(**some_tests)))
                # Once all of them: what a command does beside them is seen with a few, too.
                some_tests = {"PYTEST_ADDOPTS": "-k health"}
            else:
                running.close()
                print(run(["sh", "-c", command], project, clean_environment()))
        running.close()
