"""The project's settings for processes that tests look at from outside."""

from config.settings import *  # noqa: F403 - all of them

ROOT_URLCONF = "tests.core.observed_urls"
MIGRATION_MODULES = {"django_celery_beat": None}  # as in tests/settings.py
