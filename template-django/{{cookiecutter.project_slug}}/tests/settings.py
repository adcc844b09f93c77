"""The project's settings with nothing of this machine in them: no .env, no APP_ variables."""

import gc
import os

# What imports make stays: nothing is looked for until the tests run (tests/conftest.py).
gc.disable()

for name in [name for name in os.environ if name.startswith("APP_")]:
    del os.environ[name]
os.environ |= {
    "APP_ENV_FILE": "",
    "APP_ENVIRONMENT": "development",
    "APP_LOG_LEVEL": "warning",
    "APP_ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "APP_CORS_ORIGINS": "https://app.example.com",
{% if cookiecutter.rate_limits %}
    # Far away: the tests of limits have their own.
    "APP_RATE_LIMIT": "1000000/minute",
{% endif %}
    # tests/conftest.py makes the real one.
    "APP_DATABASE_URL": {{ '"sqlite:///test.db"' if cookiecutter.database == "sqlite" else '"postgresql://localhost/test"' }},
}

from config.settings import *  # noqa: E402, F403 - after the environment has been cleaned

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# In memory, so that clearing it between tests needs no database.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
# Its tables are made from its models: its migrations take as long as all others together.
MIGRATION_MODULES = {"django_celery_beat": None}
