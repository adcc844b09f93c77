from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.core.doctor import diagnose


class Command(BaseCommand):
    help = "Say in plain words what is missing or unsafe."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(diagnose(settings.ENV, env_file=Path(".env")))
        for level, text in findings:
            self.stdout.write(f"{level:<9}{text}")
        if any(level == "problem" for level, _ in findings):
            raise SystemExit(1)
