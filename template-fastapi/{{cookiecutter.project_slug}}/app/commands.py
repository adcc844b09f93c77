"""The commands behind the justfile: `python -m app.commands --help`."""

import argparse
import asyncio
import json
import os
import re
import secrets
import sys
from pathlib import Path

import uvicorn
from alembic import command
from alembic.config import Config
from pydantic import ValidationError

{% if "metrics" in cookiecutter.observability %}
from app import metrics
{% endif %}
{% if cookiecutter.auth == "api_key" %}
from app.api_keys import commands as callers
{% endif %}
from app.db import why_unreachable
from app.doctor import diagnose
{% if cookiecutter.database == "postgresql" %}
from app.embedded_postgresql import embedded_url
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from app.jobs import commands as jobs
from app.jobs.registry import RegistrationError
{% endif %}
from app.main import create_app
{% if cookiecutter.outbox %}
from app.outbox import commands as outbox
{% endif %}
from app.settings import Settings, explain, unknown_names
{% if cookiecutter.auth == "users" %}
from app.users import commands as callers
{% endif %}
{% if cookiecutter.webhooks %}
from app.webhooks import commands as webhooks
{% endif %}

ROOT = Path(__file__).parent.parent


def make_env_file() -> bool:
    """Write .env with fresh secrets; return False when there is one already."""
    env_file = Path(".env")
    example = (ROOT / ".env.example").read_text()
{% if cookiecutter.webhooks %}
    example = example.replace("APP_WEBHOOK_SOURCES=\n", webhooks.fresh_sources())
{% endif %}
    # A name without a value is a secret.
    filled = re.sub(r"(?m)^\w+=$", lambda line: line[0] + secrets.token_urlsafe(48), example)
    try:
        with env_file.open("x") as file:
            env_file.chmod(0o600)
            file.write(filled)
    except FileExistsError:
        return False
    return True


def load_settings() -> Settings:
    """Raises SystemExit with a sentence for each bad setting."""
    try:
        settings = Settings()
    except ValidationError as error:
        raise SystemExit("\n".join([*explain(error), *unknown_names()])) from None
{% if cookiecutter.database == "postgresql" %}
    if settings.environment == "development" and not settings.database_url.get_secret_value():
        # Through the environment, so that the processes we start use the same server.
        os.environ["APP_DATABASE_URL"] = embedded_url(ROOT / ".postgresql")
        settings = Settings()
{% endif %}
    return settings


def alembic_config(settings: Settings) -> Config:
    return Config(ROOT / "alembic.ini", attributes={"settings": settings})


def migrations(settings: Settings) -> Config:
    """Raises SystemExit with one sentence when the database does not answer."""
    if reason := asyncio.run(why_unreachable(settings)):
        raise SystemExit(
            f"The database does not answer ({reason}): check APP_DATABASE_URL, then `just doctor`."
        )
    return alembic_config(settings)


def serve(settings: Settings, *, reload: bool) -> None:
    for sentence in unknown_names():
        print(sentence, file=sys.stderr, flush=True)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        reload=reload,
        reload_dirs=[str(ROOT / "app")] if reload else None,
        workers=None if reload else settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        # app.middleware does that: it believes one proxy, and only when told to.
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )


def dev(options: argparse.Namespace) -> None:
    if make_env_file():
        print("Made .env with fresh secrets.")
    if options.port is not None:
        os.environ["APP_PORT"] = str(options.port)
    settings = load_settings()
    command.upgrade(migrations(settings), "head")
    server = f"http://{settings.host}:{settings.port}"
    pages = {"/docs": "Swagger UI", "/redoc": "ReDoc", "/openapi.json": "OpenAPI"}
    for path, page in (pages if settings.docs else {}).items():
        print(f"{page:<12}{server}{path}")
    print(f"{'Health':<12}{server}/health/ready")
{% if cookiecutter.auth != "none" %}
    callers.on_first_start(settings)
{% endif %}
    sys.stdout.flush()
    serve(settings, reload=True)


def start(_: argparse.Namespace) -> None:
    settings = load_settings()
    if settings.environment == "development":
        print("APP_ENVIRONMENT is development: this is not how to run in production.", flush=True)
{% if "metrics" in cookiecutter.observability %}
    with metrics.of_all_workers(settings):
        serve(settings, reload=False)
{% else %}
    serve(settings, reload=False)
{% endif %}


def migrate(options: argparse.Namespace) -> None:
    config = migrations(load_settings())
    if options.revision.startswith("-") or options.revision == "base":
        command.downgrade(config, options.revision)
    else:
        command.upgrade(config, options.revision)


def migration(options: argparse.Namespace) -> None:
    config = migrations(load_settings())
    command.upgrade(config, "head")
    command.revision(config, options.text, autogenerate=True)


def openapi(options: argparse.Namespace) -> None:
    # The schema depends on the code alone.
    schema = create_app(Settings(_env_file=None, environment="development")).openapi()
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    options.file.write_text(text, encoding="utf-8")
    print(f"Wrote {options.file}.")


def doctor(_: argparse.Namespace) -> None:
    try:
        settings = load_settings()
    except SystemExit as refused:
        sentences = str(refused).splitlines()
        raise SystemExit("\n".join(f"problem  {line}" for line in sentences)) from None
    findings = list(diagnose(settings, alembic_config(settings), env_file=Path(".env")))
    for level, text in findings:
        print(f"{level:<9}{text}")
    if any(level == "problem" for level, _ in findings):
        raise SystemExit(1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="app.commands")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add = commands.add_parser("dev", help="serve with reload; makes .env and migrates first")
    add.add_argument("--port", type=int, help="default: APP_PORT, or 8000")
    add.set_defaults(run=dev)

    add = commands.add_parser("start", help="the production server")
    add.set_defaults(run=start)

    add = commands.add_parser("migrate", help="bring the database to the newest migration")
    add.add_argument("revision", nargs="?", default="head", help="or -1 (one back), base (empty)")
    add.set_defaults(run=migrate)

    add = commands.add_parser("migration", help="write a migration for what the models changed")
    add.add_argument("text", help='what changes, such as "add invoices"')
    add.set_defaults(run=migration)

    add = commands.add_parser("openapi", help="write the OpenAPI schema")
    add.add_argument("file", nargs="?", type=Path, default=Path("openapi.json"))
    add.set_defaults(run=openapi)

    add = commands.add_parser("doctor", help="say what is missing or unsafe")
    add.set_defaults(run=doctor)

{% if cookiecutter.auth != "none" %}
    callers.add_commands(commands, load_settings)
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    jobs.add_commands(commands, load_settings)
{% endif %}
{% if cookiecutter.webhooks %}
    webhooks.add_commands(commands, load_settings)
{% endif %}
{% if cookiecutter.outbox %}
    outbox.add_commands(commands, load_settings)
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks or cookiecutter.auth != "none" %}

{% endif %}
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed: run `uv add {error.name}`.") from error
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    except RegistrationError as error:
        raise SystemExit(f"In app/handlers/: {error}") from None
{% endif %}


if __name__ == "__main__":
    main()
