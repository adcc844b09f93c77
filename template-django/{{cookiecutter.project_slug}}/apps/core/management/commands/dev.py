import os
import secrets
import sys
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.core.ports import check_port
from apps.core.processes import Together
from apps.users.models import User
from config.environment import ROOT, unknown_names

WATCHED = [ROOT / name for name in ("apps", "config", ".env")]
PATIENCE = 5  # seconds that work in progress gets; the ledger brings back what is cut off


class Command(BaseCommand):
    help = "Web, worker and schedule, started again when the code changes; migrates first."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.ENV.port)

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = settings.ENV.host, options["port"]
        os.environ |= {"APP_PORT": str(port), "DJANGO_RUNSERVER_HIDE_WARNING": "true"}
        check_port(host, port, f"run `just dev --port {port + 1}`")
        for sentence in unknown_names():
            self.stderr.write(sentence)
        call_command("migrate", interactive=False, verbosity=0)
        server = f"http://{host}:{port}"
        pages = {"/admin/": "Admin"}
        if apps.is_installed("apps.accounts"):
            pages["/accounts/"] = "Accounts"
        if settings.ENV.docs:
            pages |= {"/docs": "Swagger UI", "/redoc": "ReDoc", "/openapi.json": "OpenAPI"}
        pages["/health/ready"] = "Health"
        for path, page in pages.items():
            self.stdout.write(f"{page:<12}{server}{path}")
        if made := make_first_administrator():
            login, password = made
            self.stdout.write(f"\nLog in to the admin as {login} with the password {password}")
            self.stdout.write("(shown only once; change it in the admin)\n")
        self.stdout.flush()

        manage = [sys.executable, "manage.py"]
        commands = {
            "web server": [*manage, "runserver", f"{host}:{port}", "--noreload", "--nostatic"],
            "worker": [*manage, "worker"],
            "schedule": [*manage, "beat"],
        }
        raise SystemExit(Together(commands, patience=PATIENCE, changed=Watcher().changed).run())


class Watcher:
    """Says whether a Python file or .env has changed."""

    def __init__(self, *, look_again: int = 300) -> None:
        """`look_again` is in milliseconds."""
        self.look_again = look_again
        self.changes: Any = None

    def changed(self, stop: Event) -> bool:
        # A development dependency: production does not have it.
        from watchfiles import watch

        if self.changes is None:
            self.changes = watch(
                *(path for path in WATCHED if path.exists()),
                watch_filter=lambda _, path: path.endswith((".py", ".env")),
                stop_event=stop,
                rust_timeout=self.look_again,
                yield_on_timeout=True,
            )
        return bool(next(self.changes, None))


def make_first_administrator() -> tuple[str, str] | None:
    """Login and password, or None when there is an administrator already."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    login = {"email": "admin@example.com", "username": "admin"}
    password = secrets.token_urlsafe(9)
    fields = {User.USERNAME_FIELD: login[User.USERNAME_FIELD], "password": password}
    User.objects.create_superuser(**fields)
    return login[User.USERNAME_FIELD], password
