import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from config.environment import BROKERS, Environment, explain, load_environment, unknown_names

COMPLETE = {
    "secret_key": "x" * 48,
    "database_url": "postgresql://user:secret@db/app",
    "allowed_hosts": "www.example.com, api.example.com",
    "public_url": "https://www.example.com/",
    "email_url": "smtp://user:p%40ss@mail.example.com:587",
    "broker_url": "memory://",
    "s3_bucket": "files",
}


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Environment(**values)  # type: ignore[arg-type]  # wrong on purpose
    return "\n".join(explain(refused.value))


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a machine in production."""
    monkeypatch.setenv("APP_ENVIRONMENT", "production")
    for name, value in COMPLETE.items():
        monkeypatch.setenv(f"APP_{name.upper()}", value)
    return monkeypatch


def test_production_names_everything_it_lacks_at_once(production: pytest.MonkeyPatch) -> None:
    for name in COMPLETE:
        production.delenv(f"APP_{name.upper()}")

    with pytest.raises(SystemExit) as refused:
        load_environment()

    for name in ("SECRET_KEY", "DATABASE_URL", "ALLOWED_HOSTS", "PUBLIC_URL", "EMAIL_URL"):
        assert f"APP_{name}" in str(refused.value)
    # Who wrote .env by hand, and means development.
    assert "for development, set APP_ENVIRONMENT=development" in str(refused.value)


def test_production_refuses_a_short_secret(production: pytest.MonkeyPatch) -> None:
    production.setenv("APP_SECRET_KEY", "x" * 31)

    with pytest.raises(SystemExit, match="32 characters"):
        load_environment()


@pytest.mark.usefixtures("production")
def test_production_starts_with_what_it_needs() -> None:
    environment = load_environment()

    assert environment.production
    assert environment.hosts == ["www.example.com", "api.example.com"]
    assert environment.site == "https://www.example.com"


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    assert "do-not-show" not in repr(Environment(secret_key=SecretStr("do-not-show-this")))


@pytest.mark.parametrize(
    ("url", "name", "host", "options"),
    [
        ("postgres://u:p@h/d", "d", "h", {}),
        ("postgresql://u:p@h:5433/d?sslmode=require", "d", "h", {"sslmode": "require"}),
        ("postgresql:///d?host=/var/run/sockets", "d", "", {"host": "/var/run/sockets"}),
    ],
)
def test_database_urls_are_taken_as_providers_write_them(
    url: str, name: str, host: str, options: dict[str, str]
) -> None:
    database = Environment(database_url=SecretStr(url)).database

    assert (database["NAME"], database["HOST"]) == (name, host)
    assert options.items() <= database["OPTIONS"].items()
    assert database["OPTIONS"]["pool"]["max_size"] == 20


@pytest.mark.parametrize(
    ("command", "shares"),
    [
        (["manage.py", "migrate"], False),
        (["/srv/manage.py"], False),
        (["manage.py", "worker", "--concurrency=4"], True),
        (["/srv/.venv/bin/gunicorn", "config.wsgi"], True),
    ],
)
def test_a_command_that_runs_and_ends_does_not_wait_for_a_pool(
    monkeypatch: pytest.MonkeyPatch, command: list[str], shares: bool
) -> None:
    monkeypatch.setattr(sys, "argv", command)
    database = Environment(database_url=SecretStr("postgresql://u:p@h/d")).database

    assert ("pool" in database["OPTIONS"]) == shares


def test_characters_that_are_escaped_in_a_url_are_themselves_again() -> None:
    url = SecretStr("postgresql://us%40er:p%2Fss@h/d")

    database = Environment(database_url=url).database

    assert [database["USER"], database["PASSWORD"]] == ["us@er", "p/ss"]


def test_a_sqlite_file_is_named_relative_to_the_project_or_from_the_root() -> None:
    relative = Environment(database_url=SecretStr("sqlite:///x.db")).database["NAME"]
    absolute = Environment(database_url=SecretStr("sqlite:////srv/x.db")).database["NAME"]

    assert relative.parent.joinpath("manage.py").exists()
    assert str(absolute) == "/srv/x.db"


@pytest.mark.parametrize(
    "url", ["localhost", "mysql://u:p@h/d", "://", "postgresql://h:port/d", "sqlite://x.db"]
)
def test_a_wrong_database_url_is_refused_with_an_example_and_not_repeated(url: str) -> None:
    sentence = refusal(database_url=url)

    assert sentence.startswith("APP_DATABASE_URL is not a URL of a known database")
    assert "mysql" not in sentence


@pytest.mark.parametrize(
    ("url", "port", "ssl", "starttls"),
    [
        ("smtp://user:p%40ss@mail.example.com", 587, False, True),
        ("smtps://user:p%40ss@mail.example.com", 465, True, False),
        ("smtp://user:p%40ss@mail.example.com:1025?starttls=false", 1025, False, False),
    ],
)
def test_e_mail_goes_to_the_server_that_the_url_names(
    url: str, port: int, ssl: bool, starttls: bool
) -> None:
    server = Environment(email_url=SecretStr(url)).mail_server

    assert (server["HOST"], server["HOST_PASSWORD"]) == ("mail.example.com", "p@ss")
    assert (server["PORT"], server["USE_SSL"], server["USE_TLS"]) == (port, ssl, starttls)


@pytest.mark.parametrize("url", ["mail.example.com", "http://h", "smtp://", "smtp://h:port"])
def test_a_wrong_mail_server_is_refused(url: str) -> None:
    assert refusal(email_url=url).startswith("APP_EMAIL_URL is not a URL of a mail server")


@pytest.mark.parametrize("url", ["localhost", "mq://h", "redis://", "amqp://h:port"])
def test_a_wrong_broker_is_refused(url: str) -> None:
    assert refusal(broker_url=url).startswith("APP_BROKER_URL is not ")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp", "amqps"])
def test_the_broker_is_the_one_that_the_project_was_made_for(scheme: str) -> None:
    url = f"{scheme}://user:p@h:6380/1"
    if scheme in BROKERS:
        assert Environment(broker_url=SecretStr(url)).broker_url.get_secret_value() == url
    else:
        assert refusal(broker_url=url).startswith("APP_BROKER_URL is not ")


@pytest.mark.parametrize("url", ["www.example.com", "ftp://example.com", "https://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert refusal(public_url=url).startswith("APP_PUBLIC_URL is not a web address")
    assert refusal(cors_origins=url).startswith("APP_CORS_ORIGINS has something in it")


def test_a_path_is_no_part_of_an_origin() -> None:
    assert "APP_CORS_ORIGINS" in refusal(cors_origins="https://example.com/app")


@pytest.mark.parametrize("host", ["https://www.example.com", "www.example.com:8000", "a/b", "a b"])
def test_what_is_no_host_is_refused(host: str) -> None:
    sentence = refusal(allowed_hosts=f"api.example.com, {host}")

    assert sentence.startswith("APP_ALLOWED_HOSTS has something in it that is no host")


def test_hosts_are_taken_as_django_has_them() -> None:
    hosts = ["www.example.com", ".example.com", "127.0.0.1", "[::1]", "my_host", "*"]

    assert Environment(allowed_hosts=hosts).allowed_hosts == hosts


def test_a_sender_has_an_address() -> None:
    sender = "Desk <desk@example.com>"

    assert Environment(email_from=sender).email_from == sender
    assert refusal(email_from="Desk").startswith("APP_EMAIL_FROM has no e-mail address")


def test_a_wrong_number_is_named() -> None:
    assert refusal(port="eighty") == "APP_PORT must be a whole number"


def test_a_wrong_value_is_refused_in_plain_words() -> None:
    assert refusal(port=70_000) == "APP_PORT must be 65535 or less"
    assert refusal(workers=0) == "APP_WORKERS must be 1 or more"
    assert refusal(docs="perhaps") == "APP_DOCS must be true or false"
    assert refusal(log_level="loud").startswith("APP_LOG_LEVEL must be 'debug', ")


def test_a_slip_in_the_name_of_a_setting_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENV_FILE", ".env")
    Path(".env").write_text("APP_DATABSE_URL=x\nOTHER=x\nAPP_PORT=8001\n")
    monkeypatch.setenv("APP_ALOWED_HOSTS", "www.example.com")
    monkeypatch.setenv("APP_OF_ANOTHER_PROGRAM", "x")
    monkeypatch.setenv("APP_HOST", "127.0.0.1")

    assert unknown_names() == [
        "APP_ALOWED_HOSTS is no setting and is ignored: did you mean APP_ALLOWED_HOSTS?",
        "APP_DATABSE_URL is no setting and is ignored: did you mean APP_DATABASE_URL?",
        "APP_OF_ANOTHER_PROGRAM is no setting and is ignored.",
    ]


def test_who_is_refused_for_a_missing_setting_is_told_of_the_slip(
    production: pytest.MonkeyPatch,
) -> None:
    production.delenv("APP_ALLOWED_HOSTS")
    production.setenv("APP_ALOWED_HOSTS", "www.example.com")

    with pytest.raises(SystemExit, match=r"did you mean APP_ALLOWED_HOSTS\?"):
        load_environment()
