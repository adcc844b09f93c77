import re
import subprocess
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config.environment import ROOT


def migration_files() -> set[str]:
    return {str(path) for path in ROOT.glob("apps/*/migrations/*.py")}


class Command(BaseCommand):
    help = "Write a migration for what the models changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("text", help='what changes, such as "add invoices"')

    def handle(self, *args: Any, **options: Any) -> None:
        name = re.sub(r"\W+", "_", options["text"].lower(), flags=re.ASCII).strip("_")
        if not name:
            raise CommandError('Say in words what changes, such as "add invoices".')
        before = migration_files()
        call_command("makemigrations", name=name)
        if new := migration_files() - before:
            formatter = [sys.executable, "-m", "ruff", "format", "--quiet"]
            subprocess.run([*formatter, *sorted(new)], check=False)  # noqa: S603 - our own
