"""A project started with either engine stays current with `copier update`, wherever its template came from."""

import re
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import copier
import plumbum
import pytest

from proof.generate import GIT, commit, git, snapshot, with_cookiecutter, with_copier
from proof.postgres import Server
from proof.processes import clean_environment
from proof.processes import run as run_as_user
from tests.engines import cookiecutter, remembered, run, tree

TREE = Path("template-fastapi", "{{cookiecutter.project_slug}}")
MIGRATION = "migrations/versions/0001_initial.py"


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """v1.0.0, a commit after it, and v1.1.0, which adds a line, a file and a question that v1.0.0 lacks."""
    repository = snapshot(tmp_path / "releases", "v1.0.0")
    (repository / "NOTES.md").write_text("not released\n")
    commit(repository)
    justfile = repository / TREE / "justfile"
    justfile.write_text("# Colour: {{ cookiecutter.colour }}\n" + justfile.read_text("utf-8"), "utf-8")
    (repository / TREE / "app" / "news.py").write_text('"""New in 1.1."""\n')
    add(repository / "questions" / "fastapi.yml", "colour:\n  type: str\n  help: Colour\n  default: none\n")
    entry = repository / "copier.yml"
    entry.write_text(entry.read_text("utf-8").replace('"ci": ci,', '"ci": ci, "colour": colour,'), "utf-8")
    migration = repository / TREE / MIGRATION
    migration.write_text(migration.read_text("utf-8") + "# changed in 1.1\n", "utf-8")
    run(sys.executable, "scripts/sync.py", cwd=repository)
    commit(repository, "v1.1.0")
    return repository


def add(file: Path, text: str) -> None:
    file.write_text(file.read_text("utf-8") + "\n" + text, "utf-8")


def keep(project: Path) -> Path:
    """The project as its owner has committed it."""
    if not (project / ".git").exists():
        git(project, "init", "--quiet")
    commit(project)
    return project


def update(project: Path, **answers: object) -> None:
    """`copier update --defaults`, with `--data` for the answers."""
    keep(project)
    with plumbum.local.env(**GIT):
        copier.run_update(project, answers, defaults=True, overwrite=True, quiet=True, settings=copier.Settings())
    assert "<<<<<<<" not in git(project, "diff")


def start(template: object, folder: Path, *arguments: object, **environment: str) -> Path:
    """Start a project with cookiecutter in this folder."""
    folder.mkdir(exist_ok=True)
    cookiecutter(*arguments, template, cwd=folder, check=True, **environment)
    return folder / "my-service"


def clone(repository: Path, into: Path, remote: str | None = None) -> Path:
    git(repository, "clone", "--quiet", str(repository), str(into))
    if remote:
        git(into, "remote", "set-url", "origin", remote)
    return into


def test_a_project_started_with_cookiecutter_takes_a_copier_update(releases: Path, tmp_path: Path) -> None:
    project = start(f"file://{releases}.git", tmp_path / "old", "--checkout", "v1.0.0", **as_git_url(releases))
    assert remembered(project)["_commit"] == "v1.0.0"
    add(project / "justfile", "mine:\n    echo mine\n")
    add(project / "app" / "main.py", "# mine\n")
    (project / MIGRATION).unlink()
    add(project / "migrations" / "versions" / "0003_leads.py", "# mine\n")
    (project / "app" / "mine.py").write_text("mine = 1\n")

    run(sys.executable, "-m", "copier", "update", "--defaults", cwd=keep(project))

    fresh = with_copier(releases, {}, tmp_path / "fresh")
    expected = tree(fresh, MIGRATION, "migrations/versions/0003_leads.py")
    found = tree(project, "migrations/versions/0003_leads.py")
    assert found.pop("app/mine.py")
    for edited in ("justfile", "app/main.py"):
        assert found.pop(edited)[1].startswith(expected.pop(edited)[1])
    assert found == expected
    assert not (project / MIGRATION).exists()
    assert (project / "migrations" / "versions" / "0003_leads.py").read_text("utf-8").endswith("# mine\n")
    assert (project / "justfile").read_text("utf-8").endswith("mine:\n    echo mine\n")
    without_source = [{**remembered(one), "_src_path": ""} for one in (project, fresh)]
    assert without_source[0] == without_source[1]


# Both engines make the same files, what copier remembers among them (test_engines_agree.py): one of them is enough for
# each piece below.
def test_a_piece_can_be_left_out_and_brought_back_later(template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, {}, tmp_path)
    migrations = [path.name for path in (project / "migrations" / "versions").iterdir()]
    with_leads = tree(project)
    update(project, example=False)
    without = with_cookiecutter(template, {"example": False}, tmp_path / "without")
    assert tree(project, "migrations/versions") == tree(without, "migrations/versions")
    assert [path.name for path in (project / "migrations" / "versions").iterdir()] == migrations
    update(project, example=True)
    assert tree(project) == with_leads


def test_handlers_stay_when_jobs_go_and_come_back(template: Path, tmp_path: Path) -> None:
    project = with_copier(template, {"jobs": True}, tmp_path)
    with_jobs = tree(project)
    handlers = project / "app" / "handlers"
    (handlers / "mine.py").write_text("MINE = True\n")
    (handlers / "__init__.py").write_text("# mine\n")
    update(project, jobs=False)
    without = with_cookiecutter(template, {}, tmp_path / "without")
    assert tree(project, "migrations/versions", "app/handlers") == tree(without, "migrations/versions")
    assert not (project / "app" / "jobs").exists()
    update(project, jobs=True)
    assert tree(project, "app/handlers") == {
        path: file for path, file in with_jobs.items() if not path.startswith("app/handlers")
    }
    assert {file.name: file.read_text() for file in handlers.iterdir()} == {
        "mine.py": "MINE = True\n",
        "__init__.py": "# mine\n",
    }


@pytest.mark.parametrize("beside", [{"webhooks": "standard"}, {"webhooks": "hmac", "broker": "redis"}])
def test_the_outbox_comes_and_goes_and_leaves_what_others_need(
    template: Path, tmp_path: Path, beside: dict[str, Any]
) -> None:
    project = with_cookiecutter(template, beside, tmp_path)
    before = tree(project)
    update(project, outbox=True)
    fresh = with_cookiecutter(template, {"outbox": True, **beside}, tmp_path / "fresh")
    assert without_versions(project) == without_versions(fresh)
    assert not (project / "migrations" / "versions" / "0006_outbox.py").exists()
    update(project, outbox=False)
    assert tree(project) == before


def test_the_tables_of_the_outbox_come_and_go_as_the_documents_say(template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, {"jobs": True, "auth": "none"}, tmp_path)
    (project / ".env").write_text("APP_ENVIRONMENT=development\nAPP_SECRET_KEY=x\n")
    # Outside of the project, where it would be committed with each update.
    packages = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "packages"), "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}

    def do(*command: str) -> str:
        return run_as_user(["uv", "run", *command], project, clean_environment(**packages))

    do("just", "migrate")
    update(project, outbox=True)
    do("just", "migration", "outbox")
    do("just", "migrate")
    do("alembic", "check")
    assert "number" in do("just", "outbox-list")
    update(project, outbox=False)
    do("just", "migration", "drop outbox")
    do("just", "migrate")
    do("alembic", "check")
    do("ruff", "check", "migrations")
    do("alembic", "downgrade", "-2")
    do("just", "migrate")


def test_pieces_of_the_django_stack_come_and_go(template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, {"stack": "django", "example": False, "admin_extras": ""}, tmp_path)
    before = tree(project)
    more = {"accounts": True, "admin_extras": "history", "broker": "redis", "admin_theme": "unfold", "media": "s3"}
    update(project, **more | {"admin_extras": ["history"]})
    fresh = with_cookiecutter(template, {"stack": "django", "example": False, **more}, tmp_path / "fresh")
    assert without_migrations(project) == without_migrations(fresh)
    assert remembered(project)["admin_extras"] == ["history"]
    update(project, accounts=False, admin_extras=[], broker="embedded", admin_theme="django", media="local")
    assert tree(project) == before


def test_pieces_with_tables_are_taken_out_as_the_documents_say(template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, {"stack": "django"}, tmp_path)
    database = tmp_path / "kept.db"

    def do(command: str, packages: str) -> None:
        settings = {
            "UV_PROJECT_ENVIRONMENT": str(tmp_path / packages),
            "APP_DATABASE_URL": f"sqlite:///{database}",
            "APP_ENVIRONMENT": "development",
            "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
        }
        run_as_user(command.split(), project, clean_environment(**settings))

    do("uv run just migrate", "before")
    do("uv run python manage.py migrate transfers zero", "before")
    do("uv run python manage.py migrate schools zero", "before")
    update(project, admin_extras=[], example=False)
    for left in ("transfers", "schools"):
        shutil.rmtree(project / "apps" / left)
    do("uv run just migration without-history", "before")
    do("uv run just migrate", "before")

    # As somebody who just cloned it: with its own packages alone, also on a database that is new.
    do("uv run python manage.py makemigrations --check", "after")
    database.unlink()
    do("uv run just migrate", "after")
    for check in ("ruff check", "ruff format --check", "mypy"):
        do(f"uv run {check}", "after")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_who_may_use_a_service_can_be_changed_later(template: Path, tmp_path: Path, database: str) -> None:
    """Migrations are the user's: Alembic writes what makes the same tables as those that a new project has."""
    project = with_cookiecutter(template, {"auth": "none", "database": database}, tmp_path)
    databases = Server()
    try:
        with databases.new_database() if database == "postgresql" else nullcontext("sqlite:///app.db") as url:
            (project / ".env").write_text(f"APP_ENVIRONMENT=development\nAPP_SECRET_KEY=x\nAPP_DATABASE_URL={url}\n")
            # Outside of the project, where it would be committed with each update.
            packages = {
                "UV_PROJECT_ENVIRONMENT": str(tmp_path / "packages"),
                "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
            }
            alone = clean_environment(**packages)
            for auth in ("users", "api_key", "none"):
                update(project, auth=auth)
                fresh = with_cookiecutter(template, {"auth": auth, "database": database}, tmp_path / auth)
                assert without_versions(project) == without_versions(fresh)
                run_as_user(["uv", "run", "just", "migration", auth], project, alone)
                run_as_user(["uv", "run", "just", "migrate"], project, alone)
                run_as_user(["uv", "run", "alembic", "check"], project, alone)
                run_as_user(["uv", "run", "ruff", "check", "migrations"], project, alone)
                run_as_user(["uv", "run", "alembic", "downgrade", "-1"], project, alone)
                run_as_user(["uv", "run", "just", "migrate"], project, alone)
    finally:
        databases.stop()


def without_versions(project: Path) -> dict[str, tuple[int, bytes]]:
    """Without migrations, and without what running the project leaves behind."""
    return tree(project, "migrations/versions/", ".ruff_cache/", "uv.lock", ".env", "app.db")


def without_migrations(project: Path) -> dict[str, tuple[int, bytes]]:
    """Those that the template ships belong to the user from the first day: a piece that comes later brings none."""
    return {path: what for path, what in tree(project).items() if not re.search(r"/migrations/0", path)}


def test_a_commit_after_a_release_is_remembered_and_updates_at_the_next(releases: Path, tmp_path: Path) -> None:
    url = f"file://{releases}.git"
    project = start(url, tmp_path / "between", "--checkout", "v1.1.0~1", **as_git_url(releases))
    assert remembered(project)["_commit"].startswith("v1.0.0-1-g")
    update(project)
    assert remembered(project)["_commit"] == "v1.1.0"
    assert (project / "app" / "news.py").exists()


def as_git_url(repository: Path) -> dict[str, str]:
    """cookiecutter takes a URL for git's only with "git" in it: REPOSITORY.git leads to the repository."""
    link = repository.with_name(f"{repository.name}.git")
    if not link.exists():
        link.symlink_to(repository / ".git")
    return {"HOME": str(repository.parent)}


def test_the_menu_on_a_url_remembers_the_url_and_not_the_cached_clone(template: Path, tmp_path: Path) -> None:
    clone(template, tmp_path / "twostacks.git")
    url = f"file://{tmp_path}/twostacks.git"
    project = start(url, tmp_path / "work", HOME=str(tmp_path))
    assert (tmp_path / ".cookiecutters" / "twostacks").is_dir()
    assert remembered(project)["_src_path"] == url
    update(project)


def test_a_file_url_is_remembered_so_that_copier_takes_it_for_git(template: Path, tmp_path: Path) -> None:
    clone(template, tmp_path / "my-git-templates")
    url = f"file://{tmp_path}/my-git-templates"
    project = start(url, tmp_path / "work", "--directory", "template-fastapi", HOME=str(tmp_path))
    assert remembered(project)["_src_path"] == f"git+{url}"
    update(project)


LOCAL: list[tuple[str, tuple[str, ...], str]] = [
    ("../twostacks", (), "my-service"),
    ("../twostacks", ("--directory", "template-fastapi"), "my-service"),
    ("../twostacks/template-fastapi", (), "my-service"),
    ("../twostacks", ("--directory", "template-fastapi", "-o", "out"), "out/my-service"),
    ("../twostacks", ("--directory", "template-fastapi", "-o", "../else where"), "../else where/my-service"),
    ("ABSOLUTE", (), "my-service"),
    ("ABSOLUTE", ("--directory", "template-fastapi", "-o", "out"), "out/my-service"),
]


@pytest.mark.parametrize("shell", ["in a shell", "with a stale PWD"])
@pytest.mark.parametrize(("given", "options", "place"), LOCAL)
def test_a_local_template_is_remembered_by_its_absolute_path(
    template: Path, tmp_path: Path, given: str, options: tuple[str, ...], place: str, shell: str
) -> None:
    repository = clone(template, tmp_path / "twostacks")
    environment = {} if shell == "in a shell" else {"PWD": "/"}
    start(given.replace("ABSOLUTE", str(repository)), tmp_path / "work", *options, **environment)
    answers = remembered(tmp_path / "work" / place)
    assert (answers["_src_path"], answers["_commit"]) == (str(repository), "v0.0.1")


def test_secrets_in_the_url_of_the_remote_are_not_remembered(template: Path, tmp_path: Path) -> None:
    repository = clone(template, tmp_path / "twostacks", "https://me:t0ken@git.example.com/twostacks?private=1")
    project = start(repository, tmp_path / "work")
    assert remembered(project)["_src_path"] == "git+https://git.example.com/twostacks"
    assert "t0ken" not in (project / ".copier-answers.yml").read_text()


def test_a_commit_that_was_never_pushed_is_looked_for_where_it_is(template: Path, tmp_path: Path) -> None:
    repository = clone(template, tmp_path / "twostacks", "https://git.example.com/twostacks.git")
    commit(repository, "v0.0.2")
    answers = remembered(start(repository, tmp_path / "work"))
    assert (answers["_src_path"], answers["_commit"]) == (str(repository), "v0.0.2")


def unpacked(template: Path, into: Path) -> Path:
    shutil.copytree(template, into, ignore=shutil.ignore_patterns(".git"))
    return into


@pytest.mark.parametrize("inside_another_repository", [False, True])
def test_an_unpacked_archive_generates_and_says_how_to_make_updates_possible(
    template: Path, tmp_path: Path, inside_another_repository: bool
) -> None:
    if inside_another_repository:
        git(tmp_path, "init", "--quiet")
        git(tmp_path, "remote", "add", "origin", "https://example.com/other.git")
        commit(tmp_path, "v9.9.9")
    (tmp_path / "work").mkdir()
    said = cookiecutter(unpacked(template, tmp_path / "archive"), cwd=tmp_path / "work").stderr
    project = tmp_path / "work" / "my-service"
    assert not {"_commit", "_src_path"} & set(remembered(project))
    assert "add two lines to .copier-answers.yml" in said
    add(project / ".copier-answers.yml", f"_src_path: {template}\n_commit: v0.0.1\n")
    update(project)


def test_a_worktree_of_the_template_is_remembered_like_a_clone(template: Path, tmp_path: Path) -> None:
    repository = clone(template, tmp_path / "twostacks")
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "worktree"))
    answers = remembered(start(tmp_path / "worktree", tmp_path / "work"))
    assert (answers["_src_path"], answers["_commit"]) == (str(tmp_path / "worktree"), "v0.0.1")


def test_a_zip_file_generates_too(template: Path, tmp_path: Path) -> None:
    unpacked(template, tmp_path / "archive" / "twostacks")
    shutil.make_archive(str(tmp_path / "twostacks"), "zip", tmp_path / "archive", "twostacks")
    project = start(tmp_path / "twostacks.zip", tmp_path / "work")
    assert not {"_commit", "_src_path"} & set(remembered(project))


def test_the_python_api_of_cookiecutter_makes_the_same_project(template: Path, tmp_path: Path) -> None:
    code = (
        "from cookiecutter.main import cookiecutter;"
        f"cookiecutter({str(template)!r}, no_input=True, output_dir='out', directory='template-fastapi')"
    )
    run(sys.executable, "-c", code, cwd=tmp_path)
    project = tmp_path / "out" / "my-service"
    other = with_copier(template, {}, tmp_path / "copier")
    assert (tree(project), remembered(project)) == (tree(other), remembered(other))


def test_without_git_on_the_machine_a_project_can_still_be_started(template: Path, tmp_path: Path) -> None:
    project = start(template, tmp_path / "work", PATH="/nowhere")
    answers: dict[str, Any] = remembered(project)
    assert "_commit" not in answers
