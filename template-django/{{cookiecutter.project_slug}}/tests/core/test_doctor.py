from pathlib import Path

import pytest
from amqp.exceptions import AccessRefused
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from kombu.exceptions import OperationalError
from pytest_django import Settings

from apps.core import doctor
from apps.core.database import one_line, why_unreachable
from config.celery import app
from config.environment import Environment, database_of
from tests.conftest import unreachable


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A folder with .env, and a production environment that is complete."""
    monkeypatch.chdir(tmp_path)
    Path(".env").touch()
    given = {
        "ENVIRONMENT": "production",
        "SECRET_KEY": "x" * 48,
        "ALLOWED_HOSTS": "www.example.com",
        "PUBLIC_URL": "https://www.example.com",
        "EMAIL_URL": "smtp://mail.example.com",
        "BROKER_URL": "memory://",
        "S3_BUCKET": "files",
        "TRUSTED_PROXY": "true",
        "DATABASE_URL": "postgresql://db/app",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"APP_{name}", value)
    return monkeypatch


@pytest.fixture
def told(
    machine: pytest.MonkeyPatch, settings: Settings, capsys: pytest.CaptureFixture[str], db: None
) -> "Told":
    return Told(settings, capsys)


class Told:
    """What doctor says about the environment, and whether it is content."""

    def __init__(self, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings, self.capsys = settings, capsys

    def __call__(self) -> tuple[str, bool]:
        self.settings.ENV = Environment()
        try:
            call_command("doctor")
        except SystemExit:
            return self.capsys.readouterr().out, False
        return self.capsys.readouterr().out, True


def test_doctor_is_content_with_a_safe_machine(told: Told) -> None:
    said, content = told()

    assert content
    assert "The database answers and is migrated." in said
    assert "There is no broker: work waits in the database." in said


def test_doctor_says_that_the_broker_answers(told: Told, settings: Settings) -> None:
    settings.BROKER_URL = "redis://127.0.0.1:6379/0"

    assert "The broker answers." in told()[0]


def test_doctor_names_what_is_unsafe_in_production(told: Told, machine: pytest.MonkeyPatch) -> None:
    unsafe = {"DEBUG": "true", "CORS_ORIGINS": "*", "ALLOWED_HOSTS": "*", "HTTPS": "false"}
    for name, value in (unsafe | {"DOCS": "false"}).items():
        machine.setenv(f"APP_{name}", value)

    said, content = told()

    assert not content
    for name in unsafe:
        assert f"APP_{name}" in said
    assert "APP_DOCS" not in said


def test_doctor_warns_of_what_is_easily_forgotten(told: Told, machine: pytest.MonkeyPatch) -> None:
    machine.setenv("APP_DATABASE_URL", "sqlite:///app.db")
    machine.setenv("APP_EMAIL_URL", "console:")
    machine.setenv("APP_TRUSTED_PROXY", "false")

    said, content = told()

    assert content
    for warning in ("runs on SQLite", "APP_EMAIL_URL", "APP_TRUSTED_PROXY"):
        assert warning in said


def test_doctor_warns_of_a_slip_in_the_name_of_a_setting(
    told: Told, machine: pytest.MonkeyPatch
) -> None:
    machine.setenv("APP_ALOWED_HOSTS", "www.example.com")

    said, content = told()

    assert content
    assert "warning  APP_ALOWED_HOSTS is no setting and is ignored: did you mean" in said


@pytest.mark.parametrize("collected", [True, False])
def test_doctor_misses_static_files(told: Told, tmp_path: Path, collected: bool) -> None:
    told.settings.STATIC_ROOT = tmp_path
    if collected:
        (tmp_path / "staticfiles.json").touch()

    assert ("static files are not collected" in told()[0]) is not collected


def test_doctor_finds_development_with_a_weak_secret_and_without_its_file(
    told: Told, machine: pytest.MonkeyPatch
) -> None:
    machine.setenv("APP_ENVIRONMENT", "development")
    machine.setenv("APP_SECRET_KEY", "short")
    Path(".env").unlink()

    said, content = told()

    assert not content
    assert "APP_SECRET_KEY" in said
    assert "There is no .env" in said


def test_doctor_says_that_migrations_are_pending(told: Told) -> None:
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")

    said, content = told()

    assert not content
    assert "run `just migrate`" in said


def test_doctor_says_that_the_database_does_not_answer(
    told: Told, machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = database_of(unreachable(connection.vendor, tmp_path))
    machine.setattr(doctor, "why_unreachable", lambda: why_unreachable(database))

    said, content = told()

    assert not content
    assert "The database does not answer: " in said


@pytest.mark.parametrize("error", [OSError, OperationalError, AccessRefused])
def test_doctor_says_that_the_broker_does_not_answer(
    told: Told, machine: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("refused")

    machine.setattr(app, "connection_for_write", lambda: Broker(refuse))

    said, content = told()

    assert not content
    assert "The broker does not answer: " in said
    assert "refused" in said


@pytest.mark.parametrize(
    "answer",
    [
        "(0, 0): (403) ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.",
        "Connection.open: (530) NOT_ALLOWED - vhost nope not found",
        "invalid username-password pair or user is disabled.",
    ],
)
def test_a_broker_that_refuses_the_password_is_not_said_to_be_away(
    told: Told, machine: pytest.MonkeyPatch, answer: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError(answer)

    machine.setattr(app, "connection_for_write", lambda: Broker(refuse))

    said, content = told()

    assert not content
    assert "The broker refuses us: check the user" in said
    with pytest.raises(CommandError, match=r"^The broker refuses us: "):
        call_command("worker")


class Broker:
    connection_errors = ()
    channel_errors = (AccessRefused,)

    def __init__(self, ensure_connection: object) -> None:
        self.ensure_connection = ensure_connection

    def __enter__(self) -> "Broker":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_an_error_without_words_is_called_by_its_name() -> None:
    assert one_line(TimeoutError()) == "TimeoutError"


def test_doctor_says_that_no_file_can_be_kept(told: Told, tmp_path: Path) -> None:
    assert "The storage of files answers." in told()[0]

    told.settings.MEDIA_ROOT = tmp_path / "file"
    (tmp_path / "file").touch()
    said, content = told()

    assert not content
    assert "The folder for files cannot be used" in said
