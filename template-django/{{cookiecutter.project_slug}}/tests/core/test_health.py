import threading
from pathlib import Path

import pytest
from django.db import DatabaseError, connection
from django.test import Client

from apps.core import health
from apps.core.database import connection_to
from config.environment import database_of
from tests.conftest import unreachable


def test_a_running_process_is_live(client: Client) -> None:
    response = client.get("/health/live")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.django_db
def test_who_asks_for_the_health_may_name_any_host(client: Client) -> None:
    elsewhere = {"Host": "10.0.0.7:8000"}

    assert client.get("/health/live", headers=elsewhere).status_code == 200
    assert client.get("/health/ready", headers=elsewhere).status_code == 200
    assert client.get("/openapi.json", headers=elsewhere).status_code == 400


@pytest.mark.django_db
def test_a_process_is_ready_when_its_database_answers(client: Client) -> None:
    assert client.get("/health/ready").status_code == 200


@pytest.mark.django_db
def test_a_process_without_its_database_is_live_but_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = database_of(unreachable(connection.vendor, tmp_path))
    away = connection_to(database)
    away.inc_thread_sharing()
    monkeypatch.setattr(health, "connection", away)

    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")

    assert ready.status_code == 503
    assert ready.json()["detail"] == "The database does not answer."


def test_an_answer_that_takes_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()

    class Slow:
        def cursor(self) -> None:
            leave.wait(5)
            raise DatabaseError

        def close(self) -> None:
            pass

    monkeypatch.setattr(health, "connection", Slow())
    reason = health.why_no_answer(0.05)
    leave.set()

    assert reason == "no answer within 0.05 s"
