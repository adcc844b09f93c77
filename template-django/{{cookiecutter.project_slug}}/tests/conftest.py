import gc
{% if cookiecutter.database == "postgresql" %}
from collections.abc import Callable, Iterator
from contextlib import ExitStack
{% else %}
from collections.abc import Callable, Iterator
{% endif %}
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import override_settings
from rest_framework.test import APIClient

from apps.users.models import User
from config.environment import database_of
{% if cookiecutter.example %}
from tests.browser import browser, context, page  # noqa: F401 - fixtures
{% endif %}
from tests.jobs.plugin import nothing_renewed, run_jobs  # noqa: F401 - fixtures
{% if cookiecutter.database == "postgresql" %}
from tests.postgresql import new_postgresql_database
{% endif %}
from tests.users.factories import make_user

# What `just test` asks for; `just check` asks for all.
QUICK = "not slow"


def pytest_configure(config: pytest.Config) -> None:
    """Whoever names a file or a test wants it, also when it is slow."""
    named = any(Path(argument.split("::")[0]).is_file() for argument in config.args)
    if named and config.option.markexpr == QUICK:
        config.option.markexpr = ""


def pytest_collection_finish() -> None:
    # All that is imported by now stays: it is not looked through again and again.
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.option.markexpr == QUICK:
        terminalreporter.write_line("Without the slow tests: `just test -m slow` runs them.")


@pytest.fixture(scope="session")
{% if cookiecutter.database == "postgresql" %}
def new_database() -> Iterator[Callable[[], str]]:
    """Makes an empty database and returns its URL; it is dropped at the end."""
    with ExitStack() as stack:
        folder = Path(__file__).parent.parent / ".postgresql"
        yield lambda: stack.enter_context(new_postgresql_database(folder))
{% else %}
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes an empty database and returns its URL."""
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('database')}/test.db"
{% endif %}


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The database is there already, and goes as it came: with `new_database`."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(new_database: Callable[[], str]) -> Iterator[None]:
    """The tests' own database, which pytest-django migrates."""
    ours = connections["default"].settings_dict
    ours.update(database_of(new_database()))
    ours["TEST"]["NAME"] = ours["NAME"]
    yield
    connections["default"].close()


@pytest.fixture(scope="session", autouse=True)
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of uploaded and generated files."""
    folder = tmp_path_factory.mktemp("media")
    with override_settings(MEDIA_ROOT=folder):
        yield folder


@pytest.fixture(autouse=True)
def nothing_counted_or_cached() -> None:
    cache.clear()


@pytest.fixture
def user(db: None) -> User:
    return make_user("ann")


@pytest.fixture
def administrator(db: None) -> User:
    return make_user("boss", is_staff=True, is_superuser=True)


@pytest.fixture
def api() -> APIClient:
    """A program that has not logged in; `api.force_authenticate(user)` logs it in."""
    return APIClient()


def unreachable(vendor: str, folder: Path) -> str:
    """The URL of a database that does not answer: a closed port, or a folder that is not there."""
    if vendor == "postgresql":
        return "postgresql://127.0.0.1:1/none"
    return f"sqlite:///{folder}/missing/test.db"
