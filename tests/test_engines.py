"""cookiecutter and copier make the same project."""

import re
from pathlib import Path
from typing import Any

import pytest

from proof.generate import with_cookiecutter, with_copier
from tests.engines import NASTY, cookiecutter, copier, remembered, tree

VARIED: list[dict[str, Any]] = [
    {},
    {"project_name": NASTY, "description": NASTY, "author_name": NASTY, "license": "Proprietary", "ci": "none"},
    {"database": "postgresql", "example": False, "ci": "gitlab", "python_version": "3.11", "license": "Apache-2.0"},
    {"database": "postgresql", "project_slug": "crm", "license": "GPL-3.0-or-later"},
    {"example": False, "license": "BSD-3-Clause"},
    {"stack": "django"},
    {"stack": "django", "project_name": NASTY, "admin_theme": "unfold", "admin_extras": "history", "accounts": True},
    {"stack": "django", "example": False, "admin_extras": "", "login": "username", "broker": "redis", "media": "s3"},
]


@pytest.mark.parametrize("answers", VARIED, ids=str)
def test_both_engines_make_the_same_files_with_the_same_modes(
    template: Path, tmp_path: Path, answers: dict[str, Any]
) -> None:
    one = with_cookiecutter(template, answers, tmp_path / "cookiecutter")
    other = with_copier(template, answers, tmp_path / "copier")
    assert one.name == other.name
    assert tree(one) == tree(other)
    assert remembered(one) == remembered(other)


def test_the_menu_and_the_directory_option_make_the_same_project(template: Path, tmp_path: Path) -> None:
    cookiecutter(template, "-o", tmp_path / "menu", cwd=tmp_path)
    cookiecutter(template, "--directory", "template-fastapi", "-o", tmp_path / "directory", cwd=tmp_path)
    assert tree(tmp_path / "menu" / "my-service") == tree(tmp_path / "directory" / "my-service")
    assert remembered(tmp_path / "menu" / "my-service") == remembered(tmp_path / "directory" / "my-service")


def test_difficult_text_arrives_as_it_was_written(template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, {"project_name": NASTY}, tmp_path)
    assert remembered(project)["project_name"] == NASTY


def test_yes_and_no_on_the_command_line_are_booleans(template: Path, tmp_path: Path) -> None:
    cookiecutter(template, "example=no", cwd=tmp_path)
    copier("copy", "--defaults", "--data", "example=no", template, "copier", cwd=tmp_path)
    assert remembered(tmp_path / "my-service")["example"] is False
    assert tree(tmp_path / "my-service") == tree(tmp_path / "copier")


def test_both_engines_end_with_the_same_next_steps(template: Path, tmp_path: Path) -> None:
    (tmp_path / "copier").mkdir()
    said = cookiecutter(template, cwd=tmp_path).stderr.strip()
    assert said.startswith("My Service is ready in my-service. Next:\n  cd my-service\n  uv run just dev")
    assert len(said.splitlines()) <= 8
    assert copier("copy", "--defaults", template, "my-service", cwd=tmp_path / "copier").stderr.strip().endswith(said)


def test_the_folder_to_enter_is_right_when_it_lies_elsewhere(template: Path, tmp_path: Path) -> None:
    said = cookiecutter(template, "-o", "some where", cwd=tmp_path).stderr
    assert f'cd "{tmp_path / "some where" / "my-service"}"' in said


def test_nothing_asks_for_trust(template: Path) -> None:
    settings = set(re.findall(r"^_\w+", (template / "copier.yml").read_text("utf-8"), re.MULTILINE))
    assert not settings & {"_tasks", "_migrations", "_jinja_extensions"}


def test_generation_leaves_no_trace_but_the_project(template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, {}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["my-service"]
    assert not (project / ".git").exists()
    assert not (project / ".twostacks-plan.json").exists()
