"""A proof is worth what it notices: each fault is planted, and has to be found at the step one expects."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proof.engines import compare, comparisons
from proof.files import FilesReport, check_every_file
from proof.generate import commit
from proof.postgres import Server
from proof.projects import Outcome, build, named
from proof.questions import Questionnaire

Edit = Callable[[str, Callable[[str], str]], None]


@pytest.fixture
def spoiled(template: Path, tmp_path: Path) -> Path:
    """A copy of the templates to plant a fault in."""
    return Path(shutil.copytree(template, tmp_path / "spoiled"))


@pytest.fixture
def edit(spoiled: Path) -> Edit:
    def edit(path: str, change: Callable[[str], str]) -> None:
        stack = "django" if path.startswith(("apps/", "config/")) else "fastapi"
        file = spoiled / f"template-{stack}" / "{{cookiecutter.project_slug}}" / path
        before = file.read_text("utf-8")
        after = change(before)
        assert after != before
        file.write_text(after, "utf-8")

    return edit


@pytest.fixture
def databases() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def without_line(words: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        first = next(number for number, line in enumerate(lines) if words in line)
        return "".join(lines[:first] + lines[first + 1 :])

    return change


def check(spoiled: Path, into: Path, path: str) -> FilesReport:
    # The settings of the linter come from the project.
    return check_every_file(Questionnaire(spoiled), into / "files", [path, "pyproject.toml"])


def prove(spoiled: Path, into: Path, databases: Server, *steps: str, only: str = "") -> Outcome:
    variant = named(Questionnaire(spoiled), only)
    return build(variant, spoiled, into / "projects", databases, into / "shared", *([steps] if steps else []))


def test_an_undefined_variable_is_noticed(spoiled: Path, edit: Edit, tmp_path: Path) -> None:
    edit(".env.example", lambda text: text + "# {{ cookiecutter.databse }}\n")
    report = check(spoiled, tmp_path, ".env.example")
    assert any(".env.example: UndefinedError" in failure and "databse" in failure for failure in report.failures)


def test_an_undefined_variable_behind_a_condition_is_noticed(spoiled: Path, edit: Edit, tmp_path: Path) -> None:
    branch = '{% if cookiecutter.database == "postgresql" %}\n# {{ cookiecutter.databse }}\n{% endif %}\n'
    edit(".env.example", lambda text: text + branch)
    report = check(spoiled, tmp_path, ".env.example")
    assert any(".env.example: UndefinedError" in failure for failure in report.failures)


def test_an_unformatted_file_is_noticed(spoiled: Path, edit: Edit, tmp_path: Path) -> None:
    edit("app/health.py", lambda text: text + "\n\nanswer  =  {'a':42}\n")
    report = check(spoiled, tmp_path, "app/health.py")
    assert any("app/health.py: ruff format" in failure for failure in report.failures)


def test_a_file_that_is_unformatted_in_one_variant_alone_is_noticed(spoiled: Path, edit: Edit, tmp_path: Path) -> None:
    edit("app/db.py", lambda text: text + '{% if cookiecutter.database == "postgresql" %}\nx  =  1\n{% endif %}\n')
    report = check(spoiled, tmp_path, "app/db.py")
    assert any("app/db.py: ruff format" in failure and "postgresql" in failure for failure in report.failures)


def test_a_tag_that_is_left_over_is_noticed(spoiled: Path, edit: Edit, tmp_path: Path) -> None:
    edit(".env.example", lambda text: text + "# {% raw %}{{ cookiecutter.database }}{% endraw %}\n")
    report = check(spoiled, tmp_path, ".env.example")
    assert any(".env.example: a tag of the template is left over" in failure for failure in report.failures)


def test_a_migration_that_does_not_match_the_models_is_noticed(
    spoiled: Path, edit: Edit, tmp_path: Path, databases: Server
) -> None:
    edit("migrations/versions/0001_initial.py", without_line("op.create_index("))
    outcome = prove(spoiled, tmp_path, databases, "generate", "install", "migrations")
    assert outcome.failed == "migrations"
    assert "New upgrade operations detected" in outcome.output


def test_a_migration_that_cannot_be_taken_back_is_noticed(
    spoiled: Path, edit: Edit, tmp_path: Path, databases: Server
) -> None:
    edit("migrations/versions/0001_initial.py", lambda text: text.replace("op.drop_table(", "str("))
    outcome = prove(spoiled, tmp_path, databases, "generate", "install", "migrations")
    assert outcome.failed == "migrations"
    assert "already exists" in outcome.output


def test_a_migration_of_django_that_does_not_match_the_models_is_noticed(
    spoiled: Path, edit: Edit, tmp_path: Path, databases: Server
) -> None:
    edit("apps/jobs/migrations/0001_initial.py", lambda text: text.replace('"jobs_finished"', '"jobs_ended"'))
    steps = ("generate", "install", "migrations")
    outcome = prove(spoiled, tmp_path, databases, *steps, only="stack=django,example=false,admin_extras=none")
    assert outcome.failed == "migrations"
    assert "Rename index jobs_ended on job to jobs_finished" in outcome.output


@pytest.mark.parametrize("package", ["structlog", "mypy"])
def test_a_dropped_dependency_is_noticed(
    spoiled: Path, edit: Edit, tmp_path: Path, databases: Server, package: str
) -> None:
    edit("pyproject.toml", without_line(f'"{package}>='))
    outcome = prove(spoiled, tmp_path, databases)
    assert outcome.failed == "check"
    assert package in outcome.output


def test_a_failing_variant_prints_the_one_command_that_reproduces_it(
    spoiled: Path, edit: Edit, tmp_path: Path, databases: Server
) -> None:
    edit("pyproject.toml", lambda text: text.replace('"fastapi>=', '"fastapi>=99'))
    outcome = prove(spoiled, tmp_path, databases)
    assert outcome.failed == "install"
    assert f"make prove ONLY='{outcome.name}'" in str(outcome)
    assert Path(outcome.folder).is_dir()


def test_engines_that_render_differently_are_noticed(spoiled: Path, tmp_path: Path) -> None:
    settings = spoiled / "template-fastapi" / "cookiecutter.json"
    settings.write_text(settings.read_text("utf-8").replace('"trim_blocks": true', '"trim_blocks": false'), "utf-8")
    commit(spoiled)
    row = comparisons(Questionnaire(spoiled), strength=2)[0]
    assert any("the bytes differ" in difference for difference in compare(row, spoiled, tmp_path))
