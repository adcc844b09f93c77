"""Django's settings, all made from config.environment."""

import sys
from pathlib import Path
from typing import Any

from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF
from django.urls import reverse_lazy

from config.environment import load_environment, origin_of
{% if cookiecutter.admin_theme == "unfold" %}
from config.unfold import look_of_admin
{% endif %}

ROOT = Path(__file__).parent.parent
# Lower-case for this file, upper-case for the others: settings.ENV.
env = ENV = load_environment()

SECRET_KEY = env.secret_key.get_secret_value() or "for-development-only-" + "x" * 32
# What they signed is good until it expires; a new key signs.
SECRET_KEY_FALLBACKS = [key.get_secret_value() for key in env.previous_secret_keys]
DEBUG = env.debug
ALLOWED_HOSTS = env.hosts
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
SITE_NAME = env.title
# Links in e-mails begin with it; no slash at its end.
PUBLIC_URL = env.site

INSTALLED_APPS = [
{% if "history" in cookiecutter.admin_extras %}
    # Before the library and the theme: its templates replace theirs.
    "apps.history",
{% endif %}
{% if cookiecutter.admin_theme == "unfold" %}
    "unfold",
{% endif %}
{% if cookiecutter.admin_theme == "unfold" and "import_export" in cookiecutter.admin_extras %}
    "unfold.contrib.import_export",
{% endif %}
{% if cookiecutter.admin_theme == "unfold" and "history" in cookiecutter.admin_extras %}
    "unfold.contrib.simple_history",
{% endif %}
{% if cookiecutter.accounts %}
    # Before allauth: its templates replace theirs.
    "apps.accounts",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.openid_connect",
    "django.contrib.humanize",
{% endif %}
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "corsheaders",
    "csp",
    "django_celery_beat",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
{% if cookiecutter.api_auth == "token" %}
    "rest_framework.authtoken",
{% else %}
    "rest_framework_simplejwt.token_blacklist",
{% endif %}
{% if "import_export" in cookiecutter.admin_extras %}
    "import_export",
{% endif %}
{% if "history" in cookiecutter.admin_extras %}
    "simple_history",
{% endif %}
    "apps.core",
    "apps.users",
    "apps.jobs",
{% if "import_export" in cookiecutter.admin_extras %}
    "apps.transfers",
{% endif %}
{% if cookiecutter.example %}
    "apps.schools",
{% endif %}
]

# The first one is the outermost.
MIDDLEWARE = [
    "apps.core.middleware.RequestContext",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.core.middleware.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.core.middleware.BodyLimit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "apps.core.middleware.KnownHosts",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
{% if "history" in cookiecutter.admin_extras %}
    "simple_history.middleware.HistoryRequestMiddleware",
{% endif %}
{% if cookiecutter.accounts %}
    "allauth.account.middleware.AccountMiddleware",
    "apps.accounts.middleware.ForPrograms",
{% endif %}
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
{% if cookiecutter.rate_limits %}
    "apps.core.rate_limits.RateLimits",
{% endif %}
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

DATABASES = {"default": env.database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["apps.users.throttle.PasswordBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

STATIC_URL = "/static/"
STATIC_ROOT = ROOT / "staticfiles"
# In development files are served from where they are, in production from STATIC_ROOT.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not env.production
static_storage = "django.contrib.staticfiles.storage.StaticFilesStorage"
# collectstatic is for production, wherever it runs.
if env.production or sys.argv[1:2] == ["collectstatic"]:
    static_storage = "whitenoise.storage.CompressedManifestStaticFilesStorage"

# What people upload and what we make for them is private: a view decides who gets it.
MEDIA_URL = "/media/"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "apps.core.folder.Folder"},
    "staticfiles": {"BACKEND": static_storage},
}
{% if cookiecutter.media == "s3" %}
MEDIA_ROOT = ROOT / "media"
if env.s3_bucket:
    secret = env.s3_secret_access_key
    STORAGES["default"] = {
        "BACKEND": "apps.core.bucket.Bucket",
        "OPTIONS": {
            "bucket_name": env.s3_bucket,
            "endpoint_url": env.s3_endpoint_url,
            "region_name": env.s3_region,
            "access_key": env.s3_access_key_id,
            "secret_key": secret.get_secret_value() if secret else None,
            "default_acl": None,
            "file_overwrite": False,
            # Links are signed, and hold for so many seconds.
            "querystring_auth": True,
            "querystring_expire": 300,
        },
    }
{% else %}
MEDIA_ROOT = env.media_root
{% endif %}

DATA_UPLOAD_MAX_MEMORY_SIZE = env.max_body_size
# A page that lists rows to be changed sends several for each; Django takes a thousand in all.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
FILE_UPLOAD_HANDLERS = [
    "apps.core.uploads.LimitedUpload",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

{% if "import_export" in cookiecutter.admin_extras %}
# Up to so many rows an import is checked and written in the request, above in a job.
TRANSFER_ROWS_IN_REQUEST = 500
TRANSFER_MAX_ROWS = 50_000

{% endif %}
mail = env.mail_server
EMAIL_BACKEND = mail["BACKEND"]
EMAIL_HOST = mail.get("HOST", "localhost")
EMAIL_PORT = mail.get("PORT", 25)
EMAIL_HOST_USER = mail.get("HOST_USER", "")
EMAIL_HOST_PASSWORD = mail.get("HOST_PASSWORD", "")
EMAIL_USE_SSL = mail.get("USE_SSL", False)
EMAIL_USE_TLS = mail.get("USE_TLS", False)
EMAIL_TIMEOUT = mail.get("TIMEOUT")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.email_from or "noreply@localhost"

LOGGING_CONFIG = "apps.core.logs.configure"
LOGGING: dict[str, Any] = {
    "level": "debug" if env.debug else env.log_level,
    "readable": not env.production,
}

{% if cookiecutter.observability %}
# What waits for a setting costs nothing without it.
{% endif %}
{% if "traces" in cookiecutter.observability or "sentry" in cookiecutter.observability %}
LOGGING["processors"] = []
{% endif %}
{% if "traces" in cookiecutter.observability %}
# By this name the traces of this service are found.
SERVICE_NAME = {{ cookiecutter.project_slug | tojson }}
if env.otlp_endpoint:
    MIDDLEWARE.insert(0, "apps.core.traces.Traces")
    LOGGING["processors"].append("apps.core.traces.add_ids")
{% endif %}
{% if "sentry" in cookiecutter.observability %}
if env.sentry_dsn:
    inside = MIDDLEWARE.index("apps.core.middleware.RequestContext") + 1
    MIDDLEWARE.insert(inside, "apps.core.sentry.Sentry")
    LOGGING["processors"].append("apps.core.sentry.report")
{% endif %}
{% if "metrics" in cookiecutter.observability %}
# In production nobody may scrape without a token.
if env.metrics_token or not env.production:
    MIDDLEWARE.insert(0, "apps.core.metrics.Metrics")
{% endif %}
{% if cookiecutter.observability %}

{% endif %}
{% if cookiecutter.admin_theme == "unfold" %}
UNFOLD = look_of_admin(env.title)

{% endif %}
# Background work: config/broker.py, apps/jobs
BROKER_URL = env.broker_url.get_secret_value() or "memory://localhost"
CELERY_BEAT_SCHEDULER = "apps.jobs.beat:Scheduler"
# Seconds until the jobs of a worker that died are given to another one. Renewed every quarter of
# it: short enough that nobody waits long, long enough for a machine that is busy for a moment.
JOB_LEASE = env.job_lease
# Attempts that ended with the worker's death: a job that kills its workers is not tried for ever.
JOB_MOST_LOSSES = 5
JOB_KEEP_DAYS = 30

{% if cookiecutter.rate_limits %}
RATE_LIMIT = env.rate_limit
RATE_LIMIT_STORAGE = env.rate_limit_storage.get_secret_value(){{ " or BROKER_URL" if cookiecutter.broker == "redis" else "" }}

{% endif %}
# Browsers
https = env.production and env.https
# How long the key has to be, APP_SECRET_KEY says itself.
SILENCED_SYSTEM_CHECKS = ["security.W009"]
SECURE_SSL_REDIRECT = https
# Probes ask over plain HTTP, from inside.
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_HSTS_SECONDS = 31_536_000 if https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = https
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = https
# Without it anybody could pretend that a request came over HTTPS.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.trusted_proxy else None
# Not "no-referrer": Django compares the referrer of forms, and browsers then send "Origin: null".
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "apps.core.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = sorted({origin_of(url) for url in [*env.cors_origins, env.site]} - {""})
CORS_ALLOWED_ORIGINS = [origin for origin in env.cors_origins if origin != "*"]
CORS_ALLOW_ALL_ORIGINS = "*" in env.cors_origins
CORS_ALLOW_CREDENTIALS = True
CORS_ALLOW_HEADERS = [*default_headers, "x-request-id", "x-session-token"]
{% if cookiecutter.rate_limits %}
CORS_EXPOSE_HEADERS = ["RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]
{% else %}
CORS_EXPOSE_HEADERS = ["Retry-After", "X-Request-ID"]
{% endif %}
CORS_URLS_REGEX = r"^/(api|health|_allauth|openapi\.json)"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# What the pages below a path need beyond it, and nothing else gets.
CONTENT_SECURITY_POLICY_EXCEPTIONS: dict[str, dict[str, list[str]]] = {
{% if cookiecutter.admin_theme == "unfold" %}
    # Unfold's Alpine makes functions from the text of attributes.
    "/admin/": {
        "script-src": [SELF, "'unsafe-eval'"],
        "style-src": [SELF, "'unsafe-inline'"],
    },
{% endif %}
{% if cookiecutter.accounts %}
    # The one form on these pages sends people on to a login provider.
    "/accounts/google/login/": {"form-action": [SELF, "https:"]},
    "/accounts/oidc/": {"form-action": [SELF, "https:", *([] if env.production else ["http:"])]},
{% endif %}
    # Swagger UI and ReDoc style their elements one by one; ReDoc searches in a worker made from
    # a blob.
    "/docs": {"style-src": [SELF, "'unsafe-inline'"]},
    "/redoc": {"style-src": [SELF, "'unsafe-inline'"], "worker-src": ["blob:"]},
}

REST_FRAMEWORK = {
    # The first one decides that a stranger is answered 401 and not 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
{% if cookiecutter.api_auth == "token" %}
        "apps.users.bearer.BearerAuthentication",
{% else %}
        "rest_framework_simplejwt.authentication.JWTAuthentication",
{% endif %}
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
        "rest_framework.filters.SearchFilter",
    ],
    "ORDERING_PARAM": "sort",
    "SEARCH_PARAM": "q",
    "DEFAULT_PAGINATION_CLASS": "apps.core.pagination.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
{% if cookiecutter.rate_limits %}
    "DEFAULT_THROTTLE_CLASSES": ["apps.core.rate_limits.RateLimit"],
{% endif %}
    "EXCEPTION_HANDLER": "apps.core.errors.on_api_error",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
{% if cookiecutter.api_auth == "jwt" %}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    # A new password ends what was issued before it.
    "CHECK_REVOKE_TOKEN": True,
    "UPDATE_LAST_LOGIN": True,
}
{% endif %}
SPECTACULAR_SETTINGS = {
    "TITLE": env.title,
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.core.docs.document_problems",
        "apps.core.docs.document_empty_filters",
    ],
    # Files of a package, so that the pages work without internet.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {},
}
{% if cookiecutter.accounts %}

from config.accounts import *  # noqa: E402, F403 - what django-allauth needs, in place of the above
{% endif %}
