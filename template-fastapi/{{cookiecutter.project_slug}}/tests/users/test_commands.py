import asyncio
import getpass
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from sqlalchemy import update

from app.commands import main
from app.db import Database
from app.settings import Settings
from app.users.models import User
from tests.users.people import PASSWORD


@pytest.fixture
def machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, new_database: Callable[[], str]
) -> pytest.MonkeyPatch:
    """A development environment with a migrated database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_SECRET_KEY", "x" * 48)
    monkeypatch.setenv("APP_DATABASE_URL", new_database())
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: None)
    main(["migrate"])
    return monkeypatch


@pytest.mark.usefixtures("machine")
def test_development_starts_with_a_superuser_whose_password_is_shown_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["dev"])
    first = capsys.readouterr().out
    main(["dev"])
    second = capsys.readouterr().out

    assert "Log in as admin@example.com with the password " in first
    assert "password" not in second


@pytest.mark.usefixtures("machine")
def test_a_superuser_gets_a_password_that_is_shown_once_when_nobody_can_be_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    main(["superuser", "Ann@Example.com"])
    made = capsys.readouterr().out
    main(["superuser", "ann@example.com"])
    again = capsys.readouterr().out

    assert "Log in as ann@example.com with the password " in made
    assert again == "ann@example.com is a superuser now, with the password it had.\n"


async def deactivate_all(settings: Settings) -> None:
    database = Database(settings)
    async with database.transactions.begin() as session:
        await session.execute(update(User).values(is_active=False))
    await database.close()


def test_a_superuser_who_was_deactivated_is_said_to_be_active_again(
    machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    main(["superuser", "ann@example.com"])
    asyncio.run(deactivate_all(Settings(_env_file=None)))
    main(["superuser", "ann@example.com"])

    assert "is a superuser now and active again, with" in capsys.readouterr().out


def test_a_superuser_may_choose_the_password(
    machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    machine.setattr(getpass, "getpass", lambda _: PASSWORD)
    main(["superuser", "ann@example.com"])

    said = capsys.readouterr().out
    assert said == "ann@example.com is a superuser now.\n"


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [(["short"], "12 characters or more"), ([PASSWORD, "another one"], "two different")],
)
def test_a_bad_password_is_refused_in_a_sentence(
    machine: pytest.MonkeyPatch, answers: list[str], sentence: str
) -> None:
    machine.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    machine.setattr(getpass, "getpass", lambda _: answers.pop(0))

    with pytest.raises(SystemExit, match=sentence):
        main(["superuser", "ann@example.com"])


def test_doctor_says_that_e_mails_are_only_printed(
    machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.setenv("APP_ENVIRONMENT", "production")
    machine.setenv("APP_ALLOWED_HOSTS", "api.example.com")
    machine.setenv("APP_PUBLIC_URL", "https://app.example.com")
    machine.setenv("APP_EMAIL_URL", "console:")
{% if cookiecutter.broker != "embedded" %}
    machine.setenv("APP_BROKER_URL", "{{ "redis" if cookiecutter.broker == "redis" else "amqp" }}://127.0.0.1:1")
{% endif %}
    main(["doctor"])

    assert "warning  APP_EMAIL_URL" in capsys.readouterr().out


@pytest.mark.usefixtures("machine")
def test_what_is_no_address_is_refused_in_a_sentence() -> None:
    with pytest.raises(SystemExit, match="no e-mail address"):
        main(["superuser", "ann"])
