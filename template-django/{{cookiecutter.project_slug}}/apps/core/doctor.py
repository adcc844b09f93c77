"""What is missing or unsafe, in plain words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.core.files.storage import storages
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import KombuError

from apps.core.database import one_line, why_unreachable
from apps.core.errors import StorageError
{% if cookiecutter.rate_limits %}
from apps.core.rate_limits import check_limits
{% endif %}
from config.environment import Environment, unknown_names

# What RabbitMQ and Redis answer to a wrong user, password or name.
REFUSED = (
    *("ACCESS_REFUSED", "NOT_ALLOWED"),
    *("invalid username-password", "WRONGPASS", "uthentication required", "without any password"),
)
NOT_LET_IN = "The broker refuses us: check the user, the password and the name in APP_BROKER_URL."

{% if cookiecutter.observability %}
# What was chosen and waits for a setting.
WAITING = {
{% endif %}
{% if "metrics" in cookiecutter.observability %}
    "metrics_token": "/metrics answers 404 to everybody: APP_METRICS_TOKEN is not set.",
{% endif %}
{% if "traces" in cookiecutter.observability %}
    "otlp_endpoint": "No traces are sent: APP_OTLP_ENDPOINT is not set.",
{% endif %}
{% if "sentry" in cookiecutter.observability %}
    "sentry_dsn": "No errors are sent to Sentry: APP_SENTRY_DSN is not set.",
{% endif %}
{% if cookiecutter.observability %}
}

{% endif %}
Finding = tuple[Literal["ok", "warning", "problem"], str]


def diagnose(environment: Environment, *, env_file: Path) -> Iterator[Finding]:
    yield from check_secrets(environment, env_file)
    yield from (("warning", sentence) for sentence in unknown_names())
    if environment.production:
        yield from check_production(environment)
    yield check_database()
    yield check_broker()
    yield check_files()
{% if cookiecutter.rate_limits %}
    yield check_limits()
{% endif %}


def check_secrets(environment: Environment, env_file: Path) -> Iterator[Finding]:
    if not environment.production and not env_file.exists():
        yield "warning", "There is no .env: `just dev` makes one with fresh secrets."
    if len(environment.secret_key.get_secret_value()) < 32:
        yield "problem", "APP_SECRET_KEY is missing or shorter than 32 characters."
    else:
        yield "ok", "The secrets are set."


def check_production(environment: Environment) -> Iterator[Finding]:
    if "sqlite" in environment.database["ENGINE"]:
        yield (
            "warning",
            "Production runs on SQLite: one machine, one writer at a time; back up the file.",
        )
    if environment.debug:
        yield "problem", "APP_DEBUG is on in production: errors show internals to callers."
    if "*" in environment.allowed_hosts:
        yield (
            "problem",
            "APP_ALLOWED_HOSTS has *: name the hosts, or answers may be made for a forged one.",
        )
    if "*" in environment.cors_origins:
        yield (
            "problem",
            "APP_CORS_ORIGINS has *: every web site may read answers made for its visitors.",
        )
    if not environment.https:
        yield "problem", "APP_HTTPS is off: passwords and sessions travel in the clear."
    elif not environment.trusted_proxy:
        yield (
            "warning",
            "APP_TRUSTED_PROXY is off: behind a proxy that ends TLS every page redirects to itself.",
        )
    if environment.email_url.get_secret_value().startswith("console:"):
        yield "warning", "APP_EMAIL_URL is console: e-mails are printed and not sent."
    if environment.docs:
        yield "ok", "The API's documentation is public: APP_DOCS=false hides it."
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        yield "warning", "The static files are not collected: `just start` does it."
{% if cookiecutter.observability %}
    for name, sentence in WAITING.items():
        if not getattr(environment, name):
            yield "warning", sentence
{% endif %}


def check_database() -> Finding:
    if reason := why_unreachable():
        return "problem", f"The database does not answer: {reason}"
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return "problem", "Migrations are pending: run `just migrate`."
    return "ok", "The database answers and is migrated."


def check_broker() -> Finding:
    from config.celery import app

    with app.connection_for_write() as broker:
        failures: tuple[type[BaseException], ...] = (
            *(KombuError, OSError),
            *broker.connection_errors,
            *broker.channel_errors,
        )
        try:
            broker.ensure_connection(max_retries=1, timeout=5, interval_start=0)
        except failures as error:
            if any(sign in str(error) for sign in REFUSED):
                return "problem", NOT_LET_IN
            return "problem", f"The broker does not answer: {one_line(error)}"
    if settings.BROKER_URL.startswith("memory"):
        return "ok", "There is no broker: work waits in the database."
    return "ok", "The broker answers."


def check_files() -> Finding:
    storage: Any = storages["default"]  # apps.core.folder, apps.core.bucket
    try:
        storage.ask()
    except StorageError as error:
        return "problem", f"{error} ({one_line(error.__cause__ or error)})"
    return "ok", "The storage of files answers."
