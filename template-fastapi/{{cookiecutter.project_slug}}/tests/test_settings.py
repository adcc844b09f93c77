from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.settings import Settings, explain, unknown_names


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, **values)  # type: ignore[arg-type]
    return "\n".join(explain(refused.value))


def test_production_names_everything_it_lacks_at_once() -> None:
    sentence = refusal()

    for name in ("APP_SECRET_KEY", "APP_DATABASE_URL", "APP_ALLOWED_HOSTS"):
        assert name in sentence
    # Who wrote .env by hand, and means development.
    assert "for development, set APP_ENVIRONMENT=development" in sentence


def test_production_refuses_a_short_secret() -> None:
    complete: dict[str, object] = {
        "database_url": "sqlite:////srv/app.db",
        "allowed_hosts": ["api.example.com"],
{% if cookiecutter.broker != "embedded" %}
        "broker_url": "{{ "redis" if cookiecutter.broker == "redis" else "amqp" }}://127.0.0.1:1",
{% endif %}
{% if cookiecutter.auth == "users" %}
        "public_url": "https://app.example.com",
        "email_url": "console:",
{% endif %}
    }

    assert "32 characters" in refusal(**complete, secret_key="x" * 31)


def test_production_starts_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SECRET_KEY", "x" * 32)
    monkeypatch.setenv("APP_DATABASE_URL", "postgresql://user:secret@db/app")
    monkeypatch.setenv("APP_ALLOWED_HOSTS", "api.example.com, www.example.com")
{% if cookiecutter.broker != "embedded" %}
    monkeypatch.setenv("APP_BROKER_URL", "{{ "redis" if cookiecutter.broker == "redis" else "amqp" }}://127.0.0.1:1")
{% endif %}
{% if cookiecutter.auth == "users" %}
    monkeypatch.setenv("APP_PUBLIC_URL", "https://app.example.com")
    monkeypatch.setenv("APP_EMAIL_URL", "smtp://user:password@127.0.0.1:1")
{% endif %}

    settings = Settings(_env_file=None)

    assert settings.environment == "production"
    assert settings.hosts == ["api.example.com", "www.example.com"]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
    ],
)
def test_database_urls_are_taken_as_providers_write_them(given: str, used: str) -> None:
    settings = Settings(_env_file=None, environment="development", database_url=SecretStr(given))

    assert settings.database.render_as_string(hide_password=False) == used


@pytest.mark.parametrize("url", ["localhost", "mysql://u:p@h/d", "://"])
def test_a_wrong_database_url_is_refused_with_an_example_and_not_repeated(url: str) -> None:
    sentence = refusal(environment="development", database_url=url)

    assert sentence.startswith("APP_DATABASE_URL is not a URL of a known database")
    assert "mysql" not in sentence


@pytest.mark.parametrize("host", ["https://www.example.com", "www.example.com:8000", "a/b", "a b"])
def test_what_is_no_host_is_refused(host: str) -> None:
    sentence = refusal(environment="development", allowed_hosts=f"api.example.com, {host}")

    assert sentence.startswith("APP_ALLOWED_HOSTS has something in it that is no host")


@pytest.mark.parametrize("origin", ["app.example.com", "https://a.example/app", "ftp://a.example"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    sentence = refusal(environment="development", cors_origins=origin)

    assert sentence.startswith("APP_CORS_ORIGINS has something in it that is no origin")


def test_hosts_and_origins_are_taken_as_they_are_sent() -> None:
    hosts = ["www.example.com", "*.example.com", "127.0.0.1", "[::1]", "my_host", "*"]
    origins = ["https://app.example.com", "http://localhost:5173", "*"]

    settings = Settings(environment="development", allowed_hosts=hosts, cors_origins=origins)

    assert (settings.allowed_hosts, settings.cors_origins) == (hosts, origins)


{% if cookiecutter.auth == "users" %}
def test_a_sender_has_an_address() -> None:
    sender = "Desk <desk@example.com>"

    assert Settings(environment="development", email_from=sender).email_from == sender
    sentence = refusal(environment="development", email_from="Desk")
    assert sentence.startswith("APP_EMAIL_FROM has no e-mail address")


{% endif %}
def test_a_wrong_number_is_named() -> None:
    assert refusal(environment="development", port="eighty") == "APP_PORT must be a whole number"


def test_a_wrong_value_is_refused_in_plain_words() -> None:
    assert refusal(environment="development", port=70_000) == "APP_PORT must be 65535 or less"
    assert refusal(environment="development", workers=0) == "APP_WORKERS must be 1 or more"
    assert refusal(environment="development", docs="x") == "APP_DOCS must be true or false"
    assert refusal(environment="test") == ("APP_ENVIRONMENT must be 'development' or 'production'")


def test_a_slip_in_the_name_of_a_setting_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("APP_DATABSE_URL=x\nOTHER=x\nAPP_PORT=8001\n")
    monkeypatch.setenv("APP_ALOWED_HOSTS", "www.example.com")
    monkeypatch.setenv("APP_OF_ANOTHER_PROGRAM", "x")
    monkeypatch.setenv("APP_HOST", "127.0.0.1")

    assert unknown_names() == [
        "APP_ALOWED_HOSTS is no setting and is ignored: did you mean APP_ALLOWED_HOSTS?",
        "APP_DATABSE_URL is no setting and is ignored: did you mean APP_DATABASE_URL?",
        "APP_OF_ANOTHER_PROGRAM is no setting and is ignored.",
    ]
