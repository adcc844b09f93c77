import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.commands import main, make_env_file
from app.settings import Settings
from tests.conftest import unreachable


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_database: Callable[[], str]
) -> pytest.MonkeyPatch:
    """A folder without .env, and a production environment with an empty database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET_KEY", "x" * 48)
    monkeypatch.setenv("APP_ALLOWED_HOSTS", "api.example.com")
{% if cookiecutter.auth == "users" %}
    monkeypatch.setenv("APP_PUBLIC_URL", "https://app.example.com")
    monkeypatch.setenv("APP_EMAIL_URL", "smtp://user:password@127.0.0.1:1")
{% endif %}
{% if cookiecutter.broker != "embedded" %}
    monkeypatch.setenv("APP_BROKER_URL", "{{ "redis" if cookiecutter.broker == "redis" else "amqp" }}://127.0.0.1:1")
{% endif %}
    monkeypatch.setenv("APP_DATABASE_URL", new_database())
    return monkeypatch


def test_env_file_gets_fresh_secrets_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert make_env_file()
    written = Path(".env").read_text()
    assert not make_env_file()

    assert Path(".env").read_text() == written
    secret = next(line for line in written.splitlines() if line.startswith("APP_SECRET_KEY="))
    assert len(secret) > 60
    if sys.platform != "win32":
        assert Path(".env").stat().st_mode & 0o077 == 0


def test_dev_needs_no_preparation(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: dict[str, Any] = {}
    environment.setattr(uvicorn, "run", lambda app, **options: served.update(options, app=app))
    environment.delenv("APP_SECRET_KEY")
    environment.delenv("APP_ALLOWED_HOSTS")

    main(["dev", "--port", "8124"])

    assert Path(".env").exists()
    assert (served["port"], served["reload"]) == (8124, True)
    assert "http://127.0.0.1:8124/docs" in capsys.readouterr().out
    main(["doctor"])

    environment.setenv("APP_DOCS", "false")
    main(["dev"])
    assert "/docs" not in capsys.readouterr().out


def test_start_serves_with_the_settings(environment: pytest.MonkeyPatch) -> None:
    served: dict[str, Any] = {}
    environment.setattr(uvicorn, "run", lambda app, **options: served.update(options, app=app))
    environment.setenv("APP_PORT", "8123")
    environment.setenv("APP_WORKERS", "2")

    main(["start"])

    assert served["app"] == "app.main:create_app"
    assert (served["port"], served["workers"], served["reload"]) == (8123, 2, False)


def test_start_says_when_it_is_not_production(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setattr(uvicorn, "run", lambda *_, **__: None)
    environment.setenv("APP_ENVIRONMENT", "development")

    main(["start"])

    assert "APP_ENVIRONMENT is development" in capsys.readouterr().out


def test_start_refuses_production_without_its_secrets(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("APP_SECRET_KEY")
    environment.delenv("APP_ALLOWED_HOSTS")

    with pytest.raises(SystemExit, match=r"APP_SECRET_KEY, APP_ALLOWED_HOSTS"):
        main(["start"])


def test_a_slip_in_the_name_of_a_setting_is_said_and_stops_nothing(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setattr(uvicorn, "run", lambda *_, **__: None)
    environment.setenv("APP_ALOWED_HOSTS", "api.example.com")
    slip = "APP_ALOWED_HOSTS is no setting and is ignored: did you mean APP_ALLOWED_HOSTS?"
    main(["migrate"])

    main(["start"])
    assert slip in capsys.readouterr().err
    main(["doctor"])
    assert f"warning  {slip}" in capsys.readouterr().out

    environment.delenv("APP_ALLOWED_HOSTS")
    with pytest.raises(SystemExit, match="APP_ALOWED_HOSTS is no setting"):
        main(["start"])


@pytest.mark.usefixtures("environment")
def test_doctor_says_that_migrations_are_pending_until_they_ran(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["doctor"])
    before = capsys.readouterr().out
    main(["migrate"])
    main(["doctor"])
    after = capsys.readouterr().out

    assert "run `just migrate`" in before
    assert "problem" not in after


def test_doctor_names_what_is_unsafe_in_production(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["migrate", "head"])
    unsafe = {"DEBUG": "true", "CORS_ORIGINS": "*", "ALLOWED_HOSTS": "*"}
    for name, value in (unsafe | {"DOCS": "false"}).items():
        environment.setenv(f"APP_{name}", value)

    with pytest.raises(SystemExit):
        main(["doctor"])

    said = capsys.readouterr().out
    for name in unsafe:
        assert f"APP_{name}" in said
    assert "APP_DOCS" not in said


def test_doctor_finds_development_with_a_weak_secret(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("APP_ENVIRONMENT", "development")
    environment.setenv("APP_SECRET_KEY", "short")

    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "APP_SECRET_KEY" in capsys.readouterr().out


def test_doctor_misses_the_env_file_of_development(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("APP_ENVIRONMENT", "development")
    main(["migrate"])
    main(["doctor"])

    assert "There is no .env" in capsys.readouterr().out


def test_doctor_reports_bad_settings_as_problems(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("APP_PORT", "eighty")

    with pytest.raises(SystemExit, match=r"^problem  APP_PORT"):
        main(["doctor"])


def test_a_database_that_does_not_answer_is_one_sentence(
    environment: pytest.MonkeyPatch, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("APP_DATABASE_URL", unreachable(settings))

    with pytest.raises(SystemExit, match=r"^The database does not answer .*APP_DATABASE_URL"):
        main(["migrate"])
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "The database does not answer" in capsys.readouterr().out


def test_a_driver_that_is_not_installed_is_named(environment: pytest.MonkeyPatch) -> None:
    for driver in ("aiosqlite", "asyncpg"):
        environment.setitem(sys.modules, driver, None)

    with pytest.raises(SystemExit, match=r"is not installed: run `uv add"):
        main(["migrate"])


@pytest.mark.usefixtures("environment")
def test_migrate_goes_back_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate"])
    main(["migrate", "base"])

    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "run `just migrate`" in capsys.readouterr().out


def test_openapi_writes_the_schema(tmp_path: Path) -> None:
    main(["openapi", str(tmp_path / "openapi.json")])

    schema = json.loads((tmp_path / "openapi.json").read_text(encoding="utf-8"))
    assert "/health/ready" in schema["paths"]
