import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from apps.core.ports import check_port
from apps.core.processes import Together
from config.environment import unknown_names

WEB = [sys.executable, "-m", "gunicorn", "config.wsgi"]


def collect_static_files() -> None:
    collected = (settings.STATIC_ROOT / "staticfiles.json").exists()
    # A container has them since it was built, and cannot write to them.
    if not collected or os.access(settings.STATIC_ROOT, os.W_OK):
        call_command("collectstatic", interactive=False, verbosity=0)


class Command(BaseCommand):
    help = "The production server; with the embedded broker also the worker and its schedule."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if sys.platform == "win32":
            raise CommandError("The production server does not run on Windows: use `just dev`.")
        check_port(settings.ENV.host, settings.ENV.port, "set APP_PORT to another one")
        for sentence in unknown_names():
            self.stderr.write(sentence)
        if settings.ENV.production:
            collect_static_files()
        else:
            self.stdout.write(
                "APP_ENVIRONMENT is development: this is not how to run in production."
            )
        self.stdout.flush()
        if settings.ENV.broker_url.get_secret_value():
            os.execv(WEB[0], WEB)  # noqa: S606 - our own command takes this process's place
        commands = {
            "web server": WEB,
            "worker": [sys.executable, "manage.py", "worker"],
            "schedule": [sys.executable, "manage.py", "beat"],
        }
        patience = settings.ENV.shutdown_timeout + 2
        raise SystemExit(Together(commands, patience=patience).run())
