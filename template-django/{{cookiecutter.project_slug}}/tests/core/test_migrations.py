from collections.abc import Callable, Iterator

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections
from pytest_django import DjangoDbBlocker

from config.environment import database_of


@pytest.fixture
def empty(new_database: Callable[[], str], django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a database without tables."""
    defaults = connections["default"].settings_dict
    connections.settings["empty"] = defaults | database_of(new_database())
    with django_db_blocker.unblock():
        yield "empty"
        connections["empty"].close()
        # Commands open it, too.
        connections["default"].close()
    del connections["empty"], connections.settings["empty"]


def test_migrations_match_the_models(empty: str) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.slow
def test_migrations_run_up_down_and_up(empty: str) -> None:
    ours = [app.label for app in apps.get_app_configs() if app.name.startswith("apps.")]
    migrated = {app for app, _ in connections_of(empty)}

    call_command("migrate", database=empty, verbosity=0, run_syncdb=True)
    for app in [label for label in ours if label in migrated]:
        call_command("migrate", app, "zero", database=empty, verbosity=0)
    assert "users_user" not in connections[empty].introspection.table_names()
    call_command("migrate", database=empty, verbosity=0)
    assert "users_user" in connections[empty].introspection.table_names()


def connections_of(alias: str) -> list[tuple[str, str]]:
    from django.db.migrations.loader import MigrationLoader

    return list(MigrationLoader(connections[alias]).disk_migrations)
