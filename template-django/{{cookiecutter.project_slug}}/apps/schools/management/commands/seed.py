from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.schools.demo import make_demo


class Command(BaseCommand):
    help = "Make two demo schools with a year of grades, and print who can log in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--force", action="store_true", help="also in production")

    def handle(self, *args: Any, force: bool = False, **options: Any) -> None:
        if settings.ENV.production and not force:
            raise CommandError("This is production: demo schools come only with --force.")
        logins = make_demo(timezone.localdate())
        if not logins:
            self.stdout.write("The demo schools are already there: nothing was changed.")
            return
        self.stdout.write("Two schools with a year of grades are there. Log in at /admin/ as")
        for login in logins:
            self.stdout.write(
                f"  {login.role.lower():8} {login.login:28} {login.password}   {login.school}"
            )
        self.stdout.write("The passwords are shown only now.")
