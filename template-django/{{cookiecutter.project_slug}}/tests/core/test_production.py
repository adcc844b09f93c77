import os
import runpy
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, override_settings

import config.settings

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Calling it returns the settings that Django gets in production."""
    given = {
        "ENVIRONMENT": "production",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DATABASE_URL": "sqlite:////srv/app.db",
        "ALLOWED_HOSTS": "www.example.com",
        "PUBLIC_URL": "https://www.example.com",
        "EMAIL_URL": "console:",
        "BROKER_URL": "memory://",
        "S3_BUCKET": "files",
    }

    def load(**more: str) -> dict[str, Any]:
        for name, value in (given | more).items():
            monkeypatch.setenv(f"APP_{name}", value)
        settings = runpy.run_path(config.settings.__file__)
        ours = {name: value for name, value in settings.items() if name.isupper()}
        # What is bound at start-up stays as it is; nothing has been collected for whitenoise.
        stays = {"DATABASES", "INSTALLED_APPS", "LOGGING"}
        stays |= {"WHITENOISE_AUTOREFRESH", "WHITENOISE_USE_FINDERS"}
        return {name: ours[name] for name in ours.keys() - stays}

    return load


@pytest.mark.parametrize("bytes_of_key", [24, 48])
def test_djangos_own_check_for_production_finds_nothing(
    production: Load, monkeypatch: pytest.MonkeyPatch, bytes_of_key: int
) -> None:
    # Tests with a browser set it for the whole run.
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)
    key = secrets.token_urlsafe(bytes_of_key)
    with override_settings(**production(SECRET_KEY=key)):
        call_command("check", deploy=True, fail_level="WARNING")


def test_production_insists_on_https_except_for_probes(production: Load) -> None:
    with override_settings(**production()):
        client = Client(headers={"Host": "www.example.com"})
        page = client.get("/admin/login/")
        probe = client.get("/health/live")
        secure = client.get("/health/live", secure=True)

    assert (page.status_code, page["Location"]) == (301, "https://www.example.com/admin/login/")
    assert probe.status_code == 200
    assert "max-age=31536000" in secure["Strict-Transport-Security"]


def test_only_a_trusted_proxy_may_say_that_a_request_came_over_https(production: Load) -> None:
    headers = {"Host": "www.example.com", "X-Forwarded-Proto": "https"}

    with override_settings(**production()):
        assert Client(headers=headers).get("/api/me").status_code == 301
    with override_settings(**production(TRUSTED_PROXY="true")):
        assert Client(headers=headers).get("/api/me").status_code == 401


def test_cookies_of_production_travel_over_https_only(production: Load) -> None:
    settings = production()

    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]


def test_production_can_be_tried_without_tls(production: Load) -> None:
    with override_settings(**production(HTTPS="false")):
        response = Client(headers={"Host": "www.example.com"}).get("/api/me")

    assert response.status_code == 401
    assert "Strict-Transport-Security" not in response


def test_forms_are_taken_from_the_public_address_and_from_known_web_sites(production: Load) -> None:
    settings = production(CORS_ORIGINS="https://app.example.com")

    assert settings["CSRF_TRUSTED_ORIGINS"] == [
        "https://app.example.com",
        "https://www.example.com",
    ]


def test_passwords_are_kept_as_argon2(production: Load) -> None:
    assert production()["PASSWORD_HASHERS"][0].endswith("Argon2PasswordHasher")


def test_the_environment_of_the_tests_is_not_that_of_the_machine() -> None:
    assert os.environ["APP_ENVIRONMENT"] == "development"
    assert os.environ["APP_ENV_FILE"] == ""


def test_the_server_finds_the_application() -> None:
    application = runpy.run_module("config.wsgi")["application"]

    assert callable(application)
