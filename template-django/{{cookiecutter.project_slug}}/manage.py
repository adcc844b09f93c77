import os
import sys

from django.core.management import execute_from_command_line

from config.environment import make_env_file

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # Before the settings are read.
    if sys.argv[1:2] == ["dev"] and make_env_file():
        print("Made .env with fresh secrets.")
    execute_from_command_line(sys.argv)
