from collections.abc import Callable

from alembic import command
from pydantic import SecretStr

from app.commands import alembic_config
from app.settings import Settings


def test_migrations_match_the_models(settings: Settings) -> None:
    command.check(alembic_config(settings))


def test_migrations_run_up_down_and_up(settings: Settings, new_database: Callable[[], str]) -> None:
    url = SecretStr(new_database())
    config = alembic_config(settings.model_copy(update={"database_url": url}))

    command.upgrade(config, "head")
    command.downgrade(config, "base")
    command.upgrade(config, "head")
    command.check(config)
