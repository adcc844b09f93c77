import os
import sys

from django.core.management import execute_from_command_line
from django.db import DatabaseError

from config.environment import make_env_file


def main(arguments: list[str]) -> None:
    """Django's commands; a database that does not answer is one sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # Before the settings are read.
    if arguments[1:2] == ["dev"] and make_env_file():
        print("Made .env with fresh secrets.")
    try:
        execute_from_command_line(arguments)
    except SystemExit as refused:
        # The settings are bad: doctor, too, says it in its own way.
        if arguments[1:2] != ["doctor"] or not isinstance(refused.code, str):
            raise
        sentences = refused.code.splitlines()
        raise SystemExit("\n".join(f"problem  {line}" for line in sentences)) from None
    except DatabaseError:
        from apps.core.database import why_unreachable

        if reason := why_unreachable():
            raise SystemExit(
                f"The database does not answer ({reason}):"
                " check APP_DATABASE_URL, then `just doctor`."
            ) from None
        raise


if __name__ == "__main__":
    main(sys.argv)
