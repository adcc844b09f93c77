import os
import re
from difflib import get_close_matches
{% if cookiecutter.auth == "users" %}
from email.utils import parseaddr
{% endif %}
from typing import Annotated, Literal, Self
{% if "traces" in cookiecutter.observability %}
from urllib.parse import unquote, urlsplit
{% elif cookiecutter.auth == "users" or "sentry" in cookiecutter.observability %}
from urllib.parse import urlsplit
{% endif %}

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

{% if cookiecutter.jobs or cookiecutter.webhooks %}
from app.jobs.settings import NEEDED_BY_JOBS, JobSettings
{% endif %}
{% if cookiecutter.auth == "users" %}
from app.mail import mail_server_of
{% endif %}
{% if cookiecutter.outbox %}
from app.outbox.settings import OutboxSettings
{% endif %}
{% if cookiecutter.rate_limits %}
from app.rate_windows import LimitStorage, LimitText
{% endif %}
{% if cookiecutter.webhooks %}
from app.webhooks.settings import WebhookSettings
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks or cookiecutter.rate_limits or cookiecutter.auth == "users" %}

{% endif %}
DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
{% if "traces" in cookiecutter.observability %}
# What spans carry as the name of this service.
SERVICE = {{ cookiecutter.project_slug | tojson }}
{% endif %}
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
HOST = re.compile(r"\*|(\*\.)?[\w.-]+|\[[0-9a-fA-F:.]+\]")
ORIGIN = re.compile(r"\*|https?://[^/\s]+")

# What pydantic says in a programmer's words.
WORDS = {
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "int_parsing": "must be a whole number",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
}

{% if "traces" in cookiecutter.observability %}
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

{% endif %}
# In the environment: names separated by commas.
Names = Annotated[list[str], NoDecode]


class Settings({{ "OutboxSettings, " if cookiecutter.outbox else "" }}{{ "WebhookSettings, " if cookiecutter.webhooks else "" }}{{ "JobSettings, " if cookiecutter.jobs or cookiecutter.webhooks else "" }}BaseSettings):
    """Each field is an environment variable with the prefix `APP_`, or a line in `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="APP_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    title: str = {{ cookiecutter.project_name | tojson }}  # fmt: skip
    environment: Literal["development", "production"] = "production"
    debug: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    secret_key: SecretStr = SecretStr("")
{% if cookiecutter.auth == "users" %}
    previous_secret_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default=[], description="what they signed is good until it expires; a new key signs"
    )
{% endif %}
    allowed_hosts: Names = []
    cors_origins: Names = []
    docs: bool = True
    trusted_proxy: bool = Field(
        default=False, description="a proxy in front sets X-Forwarded-Proto and X-Forwarded-For"
    )

{% if cookiecutter.auth == "users" %}
    signup: Literal["open", "closed"] = "closed"
    public_url: str = Field(default="", description="where links in e-mails point to")
    email_url: SecretStr = SecretStr("console:")
    email_from: str = ""
    access_minutes: int = Field(default=15, ge=1, description="life of an access token")
    login_days: int = Field(default=30, ge=1, description="until one has to log in again")
    # 36 ms on a slow processor; more of either makes guessing from a stolen table dearer.
    password_memory: int = Field(default=19_456, ge=8, description="KiB for each hash")
    password_passes: int = Field(default=2, ge=1)

{% endif %}
    database_url: SecretStr = SecretStr({{ '"sqlite:///app.db"' if cookiecutter.database == "sqlite" else '""' }})
    database_pool_size: int = Field(default=20, ge=1, description="connections of each worker")
    database_pool_timeout: float = Field(default=5, gt=0, description="seconds")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1)
    keep_alive: int = Field(
        default=5, ge=1, description="seconds an idle connection stays; more than a proxy in front"
    )
    shutdown_timeout: int = Field(default=20, ge=1, description="seconds")
{% if cookiecutter.rate_limits %}
    rate_limit: LimitText = Field(default="120/minute", description="of a caller, for each route")
    rate_limit_storage: LimitStorage = SecretStr("memory")
{% endif %}
    max_body_size: int = Field(default=1_048_576, ge=1, description="bytes")
    idempotency_hours: int = Field(default=24, ge=1)
{% if "metrics" in cookiecutter.observability %}
    metrics_token: SecretStr = Field(
        default=SecretStr(""), description="what a scraper of /metrics sends as Bearer"
    )
{% endif %}
{% if "traces" in cookiecutter.observability %}
    otlp_endpoint: str = Field(default="", description="of the collector that takes spans")
    otlp_headers: SecretStr = SecretStr("")
    traces_sample_ratio: float = Field(default=1, ge=0, le=1)
{% endif %}
{% if "sentry" in cookiecutter.observability %}
    sentry_dsn: SecretStr = SecretStr("")
{% endif %}

    @field_validator(
        "allowed_hosts",
        "cors_origins",
{% if cookiecutter.auth == "users" %}
        "previous_secret_keys",
{% endif %}
        mode="before",
    )
    @classmethod
    def split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def name_hosts(cls, value: list[str]) -> list[str]:
        if not all(HOST.fullmatch(name) for name in value):
            raise ValueError(
                "has something in it that is no host: write each like www.example.com,"
                " without https:// and without a port"
            )
        return value

    @field_validator("cors_origins")
    @classmethod
    def name_origins(cls, value: list[str]) -> list[str]:
        if not all(ORIGIN.fullmatch(name) for name in value):
            raise ValueError(
                "has something in it that is no origin: write each like https://app.example.com"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def name_a_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        try:
            known = not url or make_url(url).get_backend_name() in DRIVERS
        except ArgumentError:
            known = False
        if not known:
            raise ValueError(
                "is not a URL of a known database: write it like"
                " postgresql://user:password@host:5432/name or sqlite:///app.db"
            )
        return value

{% if cookiecutter.auth == "users" %}
    @field_validator("previous_secret_keys")
    @classmethod
    def have_long_keys(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value()) < 32 for key in value):
            raise ValueError("has a key in it that is shorter than 32 characters")
        return value

    @field_validator("public_url")
    @classmethod
    def name_a_place(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = None
        if value and (parts is None or parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("is not a web address: write it like https://www.example.com")
        return value.rstrip("/")

    @field_validator("email_from")
    @classmethod
    def name_a_sender(cls, value: str) -> str:
        if value and "@" not in parseaddr(value)[1]:
            raise ValueError("has no e-mail address in it: write it like Desk <desk@example.com>")
        return value

    @field_validator("email_url")
    @classmethod
    def name_a_mail_server(cls, value: SecretStr) -> SecretStr:
        if mail_server_of(value.get_secret_value()) is None:
            raise ValueError(
                "is not a URL of a mail server: write it like smtp://user:password@host:587"
                " (STARTTLS), smtps://user:password@host:465, or console: to print e-mails"
            )
        return value

{% endif %}
{% if "traces" in cookiecutter.observability %}
    @field_validator("otlp_endpoint")
    @classmethod
    def name_a_collector(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = None
        if value and (parts is None or parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(
                "is not the address of a collector: write it like http://collector:4318"
            )
        return value

    @field_validator("otlp_headers")
    @classmethod
    def name_headers(cls, value: SecretStr) -> SecretStr:
        headers_of(value.get_secret_value())
        return value

{% endif %}
{% if "sentry" in cookiecutter.observability %}
    @field_validator("sentry_dsn")
    @classmethod
    def name_a_project(cls, value: SecretStr) -> SecretStr:
        dsn = value.get_secret_value()
        try:
            parts = urlsplit(dsn)
            project = parts.path.rpartition("/")[2]
            known = parts.scheme in ("http", "https") and project.isdecimal() and parts.port != 0
            known = known and bool(parts.username and parts.hostname)
        except ValueError:
            known = False
        if dsn and not known:
            raise ValueError(
                "is not a DSN of Sentry: write it like https://key@sentry.example.com/42"
            )
        return value

{% endif %}
    @model_validator(mode="after")
    def have_what_production_needs(self) -> Self:
        if self.environment == "production" and (missing := self.missing_in_production()):
            raise ValueError(
                f"production needs {', '.join(missing)}:"
                " set each in the environment or in .env; for development, set"
                " APP_ENVIRONMENT=development there, as `just dev` does where there is no .env yet"
            )
        if self.environment == "production" and len(self.secret_key.get_secret_value()) < 32:
            raise ValueError("production needs an APP_SECRET_KEY of 32 characters or more")
        return self

    def missing_in_production(self) -> list[str]:
        """What must be given: what has a default has it for development only."""
        needed = (
            "secret_key",
            "database_url",
            "allowed_hosts",
{% if cookiecutter.jobs or cookiecutter.webhooks %}
            *NEEDED_BY_JOBS,
{% endif %}
{% if cookiecutter.auth == "users" %}
            "public_url",
            "email_url",
{% endif %}
        )
        return [f"APP_{name.upper()}" for name in needed if name not in self.model_fields_set]

    @property
    def hosts(self) -> list[str]:
        """Values of the Host header that are answered."""
        return self.allowed_hosts or list(LOCAL_HOSTS)

{% if cookiecutter.auth == "users" %}
    @property
    def site(self) -> str:
        """The address that links in e-mails begin with, without a slash at its end."""
        return self.public_url or f"http://{self.host}:{self.port}"

{% endif %}
{% if "traces" in cookiecutter.observability %}
    @property
    def otlp_header_values(self) -> dict[str, str]:
        return headers_of(self.otlp_headers.get_secret_value())

{% endif %}
    @property
    def database(self) -> URL:
        """The database's URL, with the async driver in it."""
        url = make_url(self.database_url.get_secret_value())
        query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
        return url.set(drivername=DRIVERS[url.get_backend_name()], query=query)


{% if "traces" in cookiecutter.observability %}
def headers_of(text: str) -> dict[str, str]:
    """The headers in `name=value,name=value`, whose values may be percent-encoded.

    Raises ValueError when they are none.
    """
    headers = {}
    for pair in text.split(",") if text else []:
        name, equals, value = (part.strip() for part in pair.partition("="))
        headers[name] = unquote(value)
        if not equals or not HEADER.fullmatch(name) or not headers[name].isprintable():
            raise ValueError("is not a list of headers: write it like name=value,name=value")
    return headers


{% endif %}
def explain(error: ValidationError) -> list[str]:
    """One sentence for each bad setting, without its value."""
    sentences = []
    for problem in error.errors(include_input=False, include_url=False):
        name = "".join(f"APP_{part}".upper() for part in problem["loc"][:1])
        if problem["type"] in WORDS:
            text = WORDS[problem["type"]].format(**problem.get("ctx", {}))
        else:
            text = problem["msg"].removeprefix("Value error, ")
        sentences.append(f"{name} {text}".strip())
    return sentences


def unknown_names() -> list[str]:
    """One sentence for each name with our prefix that is no setting: most likely a slip of a key.

    It stops nothing, since other versions and other programs have names of their own.
    """
    known = [field.upper() for field in Settings.model_fields]
    given = {*os.environ, *DotEnvSettingsSource(Settings).env_vars}
    sentences = []
    for name in sorted({one.upper() for one in given}):
        setting = name.removeprefix("APP_")
        if name != setting and setting not in known:
            near = get_close_matches(setting, known, n=1, cutoff=0.75)
            meant = f": did you mean APP_{near[0]}?" if near else "."
            sentences.append(f"{name} is no setting and is ignored{meant}")
    return sentences
