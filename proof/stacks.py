"""What the stacks do differently when a whole project is built; everything else is the same for all."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Run = Callable[..., str]


@dataclass(frozen=True)
class Stack:
    packages: Sequence[str]  # whose coverage counts
    migrate_back_and_forth: Callable[[Path, Run], None]
    # With another one, pairs may need a row more or less: these were the best of some hundred.
    salt: str
    rotating: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # What production needs besides the settings of all stacks, for the words of a variant and the URL of its broker.
    production: Callable[[Mapping[str, str], str], dict[str, str]] = lambda _words, _broker_url: {}


def alembic(_: Path, run: Run) -> None:
    run("alembic", "downgrade", "base")
    run("alembic", "upgrade", "head")
    run("alembic", "check")


# In one process: starting Django costs more than migrating.
BACK_AND_FORTH = """
import os, sys, django
from django.core.management import call_command
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
for app in sys.argv[1:]:
    call_command("migrate", app, "zero")
call_command("migrate")
"""


def django(project: Path, run: Run) -> None:
    apps = sorted(folder.parent.name for folder in project.glob("apps/*/migrations"))
    run("python", "-c", BACK_AND_FORTH, *apps)
    run("python", "manage.py", "makemigrations", "--check", "--dry-run")


def broker(words: Mapping[str, str], broker_url: str) -> dict[str, str]:
    if words["broker"] == "embedded":
        return {}
    # Without a broker to be had it is down: the service has to answer all the same.
    scheme = {"redis": "redis", "rabbitmq": "amqp"}[words["broker"]]
    return {"APP_BROKER_URL": broker_url or f"{scheme}://127.0.0.1:1"}


def fastapi_production(words: Mapping[str, str], broker_url: str) -> dict[str, str]:
    settings = broker(words, broker_url)
    if words["auth"] == "users":
        settings |= {"APP_PUBLIC_URL": "https://app.example.com", "APP_EMAIL_URL": "smtp://127.0.0.1:1"}
    return settings


def django_production(words: Mapping[str, str], broker_url: str) -> dict[str, str]:
    settings = {
        "APP_PUBLIC_URL": "https://app.example.com",
        "APP_EMAIL_URL": "smtp://127.0.0.1:1",
        "APP_HTTPS": "false",  # nothing in front of it speaks TLS
    }
    settings |= broker(words, broker_url)
    if words["media"] == "s3":
        settings["APP_S3_BUCKET"] = "proof"
    return settings


def on_django(version: str, project: Path) -> None:
    """Move a new project to another Django, with the edit that its user would make."""
    settings = project / "pyproject.toml"
    text = settings.read_text("utf-8")
    newer = re.sub(r'"django>=[^"]+"', f'"django~={version}.0"', text)
    newer = newer.replace('requires-python = ">=3.11"', 'requires-python = ">=3.12"')
    assert newer != text
    settings.write_text(newer, "utf-8")


STACKS: Mapping[str, Stack] = {
    "fastapi": Stack(("app",), alembic, "5", production=fastapi_production),
    # The LTS release is what a project starts with; the one after it has to work, too.
    "django": Stack(("apps", "config"), django, "14", {"django": ("5.2", "5.2", "5.2", "6.0")}, django_production),
}
