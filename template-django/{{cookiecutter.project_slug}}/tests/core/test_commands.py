import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

import config.settings
import manage
from apps.core import database
from apps.core.management.commands import dev, start
from apps.core.processes import Together
from apps.users.models import User
from config.environment import ROOT, make_env_file


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Together]:
    """What was asked to run together; it does not run."""
    asked: list[Together] = []

    def run(together: Together) -> int:
        asked.append(together)
        return 0

    monkeypatch.setattr(Together, "run", run)
    return asked


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def run(*command: str, **options: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(*command, **options)
    assert ended.value.code == 0


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


@pytest.mark.django_db
def test_dev_prints_where_everything_is_and_a_login_once(
    started: list[Together], free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run("dev", port=free_port)
    said = capsys.readouterr().out
    run("dev", port=free_port)
    later = capsys.readouterr().out

    assert [set(one.commands) for one in started] == [{"web server", "worker", "schedule"}] * 2
    assert ("/accounts/" in said) == apps.is_installed("apps.accounts")
    for page in ("/admin/", "/docs", "/redoc", "/health/ready"):
        assert f"http://127.0.0.1:{free_port}{page}" in said
    login, password = said.split("Log in to the admin as ")[1].split(" with the password ")
    assert Client().login(username=login, password=password.split()[0])
    assert User.objects.filter(is_superuser=True).count() == 1
    assert "password" not in later


@pytest.mark.django_db
def test_dev_does_not_list_documentation_that_is_switched_off(
    started: list[Together], free_port: int, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"docs": False})
    run("dev", port=free_port)

    assert "/docs" not in capsys.readouterr().out


def test_dev_says_that_its_port_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match="from 1 to 65535, not 70000"):
            call_command("dev", port=70_000)
        with pytest.raises(CommandError, match=rf"^Port {port} is in use: .*--port {port + 1}"):
            call_command("dev", port=port)


def test_start_says_that_its_port_is_in_use(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings.ENV = settings.ENV.model_copy(update={"port": port})
        with pytest.raises(CommandError, match=rf"^Port {port} is in use: .* set APP_PORT"):
            call_command("start")


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_refused(settings: Settings, host: str) -> None:
    settings.ENV = settings.ENV.model_copy(update={"host": host, "port": 0})
    with pytest.raises(CommandError, match=rf"^APP_HOST is no address of this machine: {host}"):
        call_command("start")


@pytest.mark.slow
def test_dev_notices_a_change_of_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dev, "WATCHED", [tmp_path, tmp_path / "missing"])
    watcher, stop = dev.Watcher(look_again=50), threading.Event()

    assert not watcher.changed(stop)
    (tmp_path / "notes.txt").touch()
    assert not watcher.changed(stop)
    (tmp_path / "models.py").touch()
    assert watcher.changed(stop)
    stop.set()
    assert not watcher.changed(stop)


def test_start_runs_worker_and_schedule_when_there_is_no_broker(
    started: list[Together], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"port": 0})
    run("start")

    assert set(started[0].commands) == {"web server", "worker", "schedule"}
    assert "APP_ENVIRONMENT is development" in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("command", ["dev", "start"])
def test_a_slip_in_the_name_of_a_setting_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
    free_port: int,
    command: str,
) -> None:
    monkeypatch.setenv("APP_ALOWED_HOSTS", "www.example.com")
    settings.ENV = settings.ENV.model_copy(update={"port": 0})

    run(command, **({"port": free_port} if command == "dev" else {}))

    assert "did you mean APP_ALLOWED_HOSTS?" in capsys.readouterr().err


def test_start_collects_static_files_and_makes_way_for_the_server(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    url = settings.ENV.broker_url.__class__("redis://broker")
    updates = {"environment": "production", "broker_url": url, "port": 0}
    settings.ENV = settings.ENV.model_copy(update=updates)
    done: list[Any] = []
    monkeypatch.setattr(start, "call_command", lambda name, **_: done.append(name))

    def take_over(path: str, command: list[str]) -> None:
        done.append(command)
        raise SystemExit

    monkeypatch.setattr(os, "execv", take_over)

    with pytest.raises(SystemExit):
        call_command("start")

    assert done == ["collectstatic", start.WEB]


def test_start_says_that_it_does_not_run_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(CommandError, match="does not run on Windows"):
        call_command("start")


@pytest.mark.slow
def test_openapi_writes_the_schema(tmp_path: Path) -> None:
    call_command("openapi", tmp_path / "openapi.json")

    schema = json.loads((tmp_path / "openapi.json").read_text(encoding="utf-8"))
    assert "/health/ready" in schema["paths"]


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: list[str]) -> None:
        raise OperationalError("no such table: users_user")

    monkeypatch.setattr(manage, "execute_from_command_line", fail)
    with pytest.raises(OperationalError):
        manage.main(["manage.py", "migrate"])

    monkeypatch.setattr(database, "why_unreachable", lambda: "connection refused")
    with pytest.raises(SystemExit, match=r"^The database does not answer .*APP_DATABASE_URL"):
        manage.main(["manage.py", "migrate"])


def test_dev_makes_its_settings_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there: list[bool] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        manage, "execute_from_command_line", lambda _: there.append(Path(".env").exists())
    )

    manage.main(["manage.py", "migrate"])
    manage.main(["manage.py", "dev"])

    assert there == [False, True]


@pytest.fixture
def migrations_named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from apps.core.management.commands import migration

    names: list[str] = []
    monkeypatch.setattr(migration, "call_command", lambda _, name: names.append(name))
    return names


def test_a_migration_is_named_after_its_text(migrations_named: list[str]) -> None:
    call_command("migration", "Add invoices, at last!")

    assert migrations_named == ["add_invoices_at_last"]
    with pytest.raises(CommandError, match="Say in words"):
        call_command("migration", "!?")


@pytest.fixture
def bare() -> dict[str, str]:
    """An environment in which nothing has been set, which means production."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    return ours | {"APP_ENV_FILE": "", "DJANGO_SETTINGS_MODULE": "config.settings"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
def test_a_server_without_its_settings_is_refused_in_one_sentence(bare: dict[str, str]) -> None:
    server = subprocess.run(
        [sys.executable, "-m", "gunicorn", "config.wsgi"],
        cwd=ROOT,
        env=bare,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )

    assert server.returncode == 1
    assert server.stderr.startswith("production needs APP_SECRET_KEY, APP_DATABASE_URL")
    assert len(server.stderr.splitlines()) == 1


def test_a_command_without_its_settings_is_refused_in_one_sentence(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The settings are read once in a process: here they are read again, as if for the first time.
    monkeypatch.setattr(os, "environ", bare)
    monkeypatch.setattr(
        manage, "execute_from_command_line", lambda _: runpy.run_path(config.settings.__file__)
    )

    with pytest.raises(SystemExit) as refused:
        manage.main(["manage.py", "migrate"])

    assert str(refused.value).startswith("production needs APP_SECRET_KEY, APP_DATABASE_URL")
    assert len(str(refused.value).splitlines()) == 1


def test_doctor_calls_bad_settings_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: list[str]) -> None:
        raise SystemExit("APP_PORT is no number\nAPP_DEBUG is no yes or no")

    monkeypatch.setattr(manage, "execute_from_command_line", refuse)
    for command, prefix in (("doctor", "problem  "), ("migrate", "")):
        with pytest.raises(SystemExit) as refused:
            manage.main(["manage.py", command])
        lines = str(refused.value).splitlines()
        assert lines == [f"{prefix}APP_PORT is no number", f"{prefix}APP_DEBUG is no yes or no"]
