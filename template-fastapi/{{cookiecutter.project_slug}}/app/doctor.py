"""What is missing or unsafe, in plain words."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db import create_engine, why_unreachable
{% if cookiecutter.broker != "embedded" %}
from app.jobs.celery import check_broker
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from app.jobs.doctor import check_handlers, check_work
{% endif %}
{% if cookiecutter.outbox %}
from app.outbox.doctor import check_targets
{% endif %}
{% if cookiecutter.rate_limits %}
from app.rate_limits import check_limits
{% endif %}
from app.settings import Settings, unknown_names
{% if cookiecutter.webhooks %}
from app.webhooks.doctor import check_sources
{% endif %}

Finding = tuple[Literal["ok", "warning", "problem"], str]


def diagnose(settings: Settings, alembic: Config, *, env_file: Path) -> Iterator[Finding]:
    yield from check_secrets(settings, env_file)
    yield from (("warning", sentence) for sentence in unknown_names())
    if settings.environment == "production":
        yield from check_production(settings)
    database = asyncio.run(check_database(settings, alembic))
    yield database
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    mistakes = check_handlers()
    yield from mistakes
{% endif %}
{% if cookiecutter.webhooks %}
    if not mistakes:
        yield from check_sources(settings)
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    if database[0] == "ok" and not mistakes:
        yield from asyncio.run(check_work(settings))
{% endif %}
{% if cookiecutter.broker != "embedded" %}
    yield asyncio.run(check_broker(settings))
{% endif %}
{% if cookiecutter.outbox %}
    yield from asyncio.run(check_targets(settings))
{% endif %}
{% if cookiecutter.rate_limits %}
    yield asyncio.run(check_limits(settings))
{% endif %}


def check_secrets(settings: Settings, env_file: Path) -> Iterator[Finding]:
    if settings.environment == "development" and not env_file.exists():
        yield "warning", "There is no .env: `just dev` makes one with fresh secrets."
    if len(settings.secret_key.get_secret_value()) < 32:
        yield "problem", "APP_SECRET_KEY is missing or shorter than 32 characters."
    else:
        yield "ok", "The secrets are set."


def check_production(settings: Settings) -> Iterator[Finding]:
    if settings.database.get_backend_name() == "sqlite":
        yield (
            "warning",
            "Production runs on SQLite: one machine, one writer at a time; back up the file.",
        )
    if settings.debug:
        yield "problem", "APP_DEBUG is on in production: errors show internals to callers."
    if "*" in settings.allowed_hosts:
        yield (
            "problem",
            "APP_ALLOWED_HOSTS has *: name the hosts, or answers may be made for a forged one.",
        )
    if "*" in settings.cors_origins:
        yield (
            "problem",
            "APP_CORS_ORIGINS has *: every web site may read answers made for its visitors.",
        )
{% if cookiecutter.auth == "users" %}
    if settings.email_url.get_secret_value().startswith("console:"):
        yield (
            "warning",
            "APP_EMAIL_URL prints e-mails: nobody gets them, and who reads the log has the links.",
        )
{% endif %}
{% if "metrics" in cookiecutter.observability %}
    if not settings.metrics_token.get_secret_value():
        yield "warning", "/metrics answers 404 to everybody: APP_METRICS_TOKEN is not set."
{% endif %}
{% if "traces" in cookiecutter.observability %}
    if not settings.otlp_endpoint:
        yield "warning", "No traces are sent: APP_OTLP_ENDPOINT is not set."
{% endif %}
{% if "sentry" in cookiecutter.observability %}
    if not settings.sentry_dsn.get_secret_value():
        yield "warning", "No errors are sent to Sentry: APP_SENTRY_DSN is not set."
{% endif %}
    if settings.docs:
        yield "ok", "The API's documentation is public: APP_DOCS=false hides it."


async def check_database(settings: Settings, alembic: Config) -> Finding:
    if reason := await why_unreachable(settings):
        return "problem", f"The database does not answer: {reason}"
    engine = create_engine(settings)
    async with engine.connect() as connection:
        current = await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_heads()
        )
    await engine.dispose()
    if set(current) != set(ScriptDirectory.from_config(alembic).get_heads()):
        return "problem", "Migrations are pending: run `just migrate`."
    return "ok", "The database answers and is migrated."
