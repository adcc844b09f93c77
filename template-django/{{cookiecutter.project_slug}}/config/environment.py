"""What the environment decides. config/settings.py makes Django's settings of it."""

import os
import re
import secrets
import sys
from difflib import get_close_matches
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

{% if cookiecutter.rate_limits %}
from apps.core.rate_windows import LimitStorage, LimitText

{% endif %}
ROOT = Path(__file__).parent.parent
SERVERS = (["runserver"], ["worker"], ["beat"])
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
HOST = re.compile(r"\*|[\w.-]+|\[[0-9a-fA-F:.]+\]")
{% if cookiecutter.broker == "redis" %}
BROKERS = ("redis", "rediss")
WRONG_BROKER = (
    "is not a URL of Redis, the broker of this project: write it like"
    " redis://user:password@host:6379/0, or leave it out in development"
)
{% elif cookiecutter.broker == "rabbitmq" %}
BROKERS = ("amqp", "amqps")
WRONG_BROKER = (
    "is not a URL of RabbitMQ, the broker of this project: write it like"
    " amqp://user:password@host:5672/name, or leave it out in development"
)
{% else %}
BROKERS: tuple[str, ...] = ()
WRONG_BROKER = (
    "is not for this project, whose work waits in the database: leave it out, or bring a broker in"
    " with `uvx copier update --data broker=redis` (or rabbitmq)"
)
{% endif %}

{% if "traces" in cookiecutter.observability %}
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

{% endif %}
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

# In the environment: names separated by commas.
Names = Annotated[list[str], NoDecode]


class Environment(BaseSettings):
    """Each field is an environment variable with the prefix `APP_`, or a line in `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="APP_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    title: str = {{ cookiecutter.project_name | tojson }}  # fmt: skip
    environment: Literal["development", "production"] = "production"
    debug: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    secret_key: SecretStr = SecretStr("")
    previous_secret_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default=[], description="what they signed is good until it expires; a new key signs"
    )
    allowed_hosts: Names = []
    cors_origins: Names = []
    public_url: str = Field(default="", description="where links in e-mails point to")
    docs: bool = True
    https: bool = Field(default=True, description="false: production without TLS, for a try")
    trusted_proxy: bool = Field(
        default=False, description="a proxy in front sets X-Forwarded-Proto and X-Forwarded-For"
    )

    database_url: SecretStr = SecretStr({{ '"sqlite:///app.db"' if cookiecutter.database == "sqlite" else '""' }})
    database_pool_size: int = Field(default=20, ge=1, description="connections of each process")
    database_pool_timeout: float = Field(default=5, gt=0, description="seconds")

    broker_url: SecretStr = SecretStr("")
    worker_concurrency: int = Field(default=2, ge=1, description="tasks at once")
    job_lease: float = Field(
        default=10, ge=0.5, description="seconds until a dead worker's jobs are taken over"
    )

    email_url: SecretStr = SecretStr("console:")
    email_from: str = ""

{% if cookiecutter.accounts %}
    signup: Literal["open", "closed"] = "closed"
    link_by_email: bool = Field(
        default=False, description="an address that a provider verified opens its account here"
    )
    google_client_id: str = ""
    google_client_secret: SecretStr = SecretStr("")
    oidc_name: str = Field(default="Single sign-on", description="what its button says")
    oidc_url: str = Field(default="", description="what /.well-known/openid-configuration is below")
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")

{% endif %}
{% if cookiecutter.media == "s3" %}
    s3_bucket: str = Field(default="", description="empty in development: the folder media/")
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
{% else %}
    media_root: Path = ROOT / "media"
{% endif %}

{% if "metrics" in cookiecutter.observability %}
    metrics_token: SecretStr = Field(default=SecretStr(""), description="what scrapers send")

{% endif %}
{% if "traces" in cookiecutter.observability %}
    otlp_endpoint: str = Field(default="", description="the collector, as http://collector:4318")
    otlp_headers: SecretStr = SecretStr("")
    traces_sample_ratio: float = Field(default=1, ge=0, le=1)

{% endif %}
{% if "sentry" in cookiecutter.observability %}
    sentry_dsn: SecretStr = SecretStr("")

{% endif %}
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1)
    threads: int = Field(default=8, ge=1, description="requests at once in each worker")
    request_timeout: int = Field(default=60, ge=1, description="seconds")
    keep_alive: int = Field(
        default=5, ge=1, description="seconds an idle connection stays; more than a proxy in front"
    )
    shutdown_timeout: int = Field(default=20, ge=1, description="seconds")
{% if cookiecutter.rate_limits %}
    rate_limit: LimitText = Field(default="120/minute", description="of a caller, for each route")
    rate_limit_storage: LimitStorage = SecretStr({{ '""' if cookiecutter.broker == "redis" else '"memory"' }})
{% endif %}
    max_body_size: int = Field(default=1_048_576, ge=1, description="bytes, without files")
    max_upload_size: int = Field(default=10_485_760, ge=1, description="bytes of one file")

    @field_validator("allowed_hosts", "cors_origins", "previous_secret_keys", mode="before")
    @classmethod
    def split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value

    @field_validator("previous_secret_keys")
    @classmethod
    def have_long_keys(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value()) < 32 for key in value):
            raise ValueError("has a key in it that is shorter than 32 characters")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def name_hosts(cls, value: list[str]) -> list[str]:
        if not all(HOST.fullmatch(name) for name in value):
            raise ValueError(
                "has something in it that is no host: write each like www.example.com (.example.com:"
                " with all below it), without https:// and without a port"
            )
        return value

    @field_validator("cors_origins")
    @classmethod
    def name_origins(cls, value: list[str]) -> list[str]:
        if any(name != "*" and name != origin_of(name) for name in value):
            raise ValueError(
                "has something in it that is no origin: write each like https://app.example.com"
            )
        return value

    @field_validator("public_url")
    @classmethod
    def name_a_place(cls, value: str) -> str:
        if value and not origin_of(value):
            raise ValueError("is not a web address: write it like https://www.example.com")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def name_a_database(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not database_of(value.get_secret_value()):
            raise ValueError(
                "is not a URL of a known database: write it like"
                " postgresql://user:password@host:5432/name or sqlite:///app.db"
            )
        return value

    @field_validator("broker_url")
    @classmethod
    def name_a_broker(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not is_broker(value.get_secret_value()):
            raise ValueError(WRONG_BROKER)
        return value

    @field_validator("email_from")
    @classmethod
    def name_a_sender(cls, value: str) -> str:
        if value and "@" not in parseaddr(value)[1]:
            raise ValueError("has no e-mail address in it: write it like Desk <desk@example.com>")
        return value

    @field_validator("email_url")
    @classmethod
    def name_a_mail_server(cls, value: SecretStr) -> SecretStr:
        if not mail_server_of(value.get_secret_value()):
            raise ValueError(
                "is not a URL of a mail server: write it like smtp://user:password@host:587"
                " (STARTTLS), smtps://user:password@host:465, or console: to print e-mails"
            )
        return value

{% if cookiecutter.accounts %}
    @model_validator(mode="after")
    def have_whole_providers(self) -> Self:
        google = {"google_client_id", "google_client_secret"}
        oidc = {"oidc_url", "oidc_client_id", "oidc_client_secret"}
        for needed in (google, oidc):
            missing = sorted(f"APP_{name.upper()}" for name in needed - self.model_fields_set)
            if 0 < len(missing) < len(needed):
                raise ValueError(f"a login provider also needs {', '.join(missing)}")
        return self

{% endif %}
{% if "traces" in cookiecutter.observability %}
    @field_validator("otlp_endpoint")
    @classmethod
    def name_a_collector(cls, value: str) -> str:
        if value and not origin_of(value):
            raise ValueError(
                "is not the address of a collector: write it like http://collector:4318"
            )
        return value.rstrip("/").removesuffix("/v1/traces")

    @field_validator("otlp_headers")
    @classmethod
    def name_headers(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not headers_of(value.get_secret_value()):
            raise ValueError("is not a list of headers: write it like name=value,name=value")
        return value

{% endif %}
{% if "sentry" in cookiecutter.observability %}
    @field_validator("sentry_dsn")
    @classmethod
    def name_a_project(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not is_dsn(value.get_secret_value()):
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
            "public_url",
            "email_url",
{% if cookiecutter.broker != "embedded" %}
            "broker_url",
{% endif %}
{% if cookiecutter.media == "s3" %}
            "s3_bucket",
{% endif %}
        )
        return [f"APP_{name.upper()}" for name in needed if name not in self.model_fields_set]

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def hosts(self) -> list[str]:
        """Values of the Host header that are answered."""
        return self.allowed_hosts or list(LOCAL_HOSTS)

    @property
    def site(self) -> str:
        """The address that links in e-mails begin with, without a slash at its end."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def database(self) -> dict[str, Any]:
        """Django's settings for the database."""
        database = database_of(self.database_url.get_secret_value())
        if database.get("ENGINE") == "django.db.backends.postgresql" and has_many_threads(sys.argv):
            database["OPTIONS"]["pool"] = {
                "min_size": 1,
                "max_size": self.database_pool_size,
                "timeout": self.database_pool_timeout,
                "max_lifetime": 1800,
            }
        return database

    @property
    def mail_server(self) -> dict[str, Any]:
        """Django's settings for e-mail, without the prefix EMAIL_."""
        return mail_server_of(self.email_url.get_secret_value())


def has_many_threads(command: list[str]) -> bool:
    """Whether the process shares connections. A command that runs and ends has one of its own, which
    says at once, and why, when there is none: a pool tries for seconds.
    """
    return Path(command[0]).name != "manage.py" or command[1:2] in SERVERS


def origin_of(url: str) -> str:
    """Scheme, host and port of a web address, or nothing when it is none."""
    parts = split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it says whether it is a number
    except ValueError:
        return None
    return parts


def database_of(url: str) -> dict[str, Any]:
    """Django's settings for the database that a URL names, or nothing when it names none."""
    parts = split(url)
    if parts is None:
        return {}
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            # Three slashes: relative to the project; four: from the root.
            "NAME": ROOT / unquote(parts.path[1:]),
            "OPTIONS": {
                # Taking the write lock at the start makes writers wait for each other; a
                # transaction that reads first and writes later would fail: "database is locked".
                "transaction_mode": "IMMEDIATE",
                "timeout": 5,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 5, **dict(parse_qsl(parts.query))},
        }
    return {}


def is_broker(url: str) -> bool:
    parts = split(url)
    if parts is None:
        return False
    return parts.scheme == "memory" or bool(parts.hostname and parts.scheme in BROKERS)


{% if "traces" in cookiecutter.observability %}
def headers_of(text: str) -> dict[str, str]:
    """The headers in name=value,name=value (values as in a URL), or nothing when one is none."""
    headers = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        headers[name] = unquote(value)
        written = headers[name].isascii() and headers[name].isprintable()
        if not equals or not written or not HEADER.fullmatch(name):
            return {}
    return headers


{% endif %}
{% if "sentry" in cookiecutter.observability %}
def is_dsn(url: str) -> bool:
    parts = split(url)
    if parts is None:
        return False
    named = parts.scheme in ("http", "https") and parts.hostname and parts.username
    return bool(named and parts.path.rpartition("/")[2].isdecimal())


{% endif %}
def mail_server_of(url: str) -> dict[str, Any]:
    """Django's settings for the mail server that a URL names, or nothing when it names none."""
    parts = split(url)
    if parts is None:
        return {}
    if parts.scheme == "console":
        return {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        encrypted = parts.scheme == "smtps"
        return {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "HOST": parts.hostname,
            "PORT": parts.port or (465 if encrypted else 587),
            "HOST_USER": unquote(parts.username or ""),
            "HOST_PASSWORD": unquote(parts.password or ""),
            "USE_SSL": encrypted,
            # For a catcher of e-mails on your own machine: smtp://localhost:1025?starttls=false
            "USE_TLS": not encrypted and dict(parse_qsl(parts.query)).get("starttls") != "false",
            "TIMEOUT": 10,
        }
    return {}


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


def env_file() -> str:
    """APP_ENV_FILE: another file than .env, or empty for none."""
    return os.environ.get("APP_ENV_FILE", ".env")


def unknown_names() -> list[str]:
    """One sentence for each name with our prefix that is no setting: most likely a slip of a key.

    It stops nothing, since other versions and other programs have names of their own.
    """
    known = {*(field.upper() for field in Environment.model_fields), "ENV_FILE"}
    given = {*os.environ, *DotEnvSettingsSource(Environment, env_file=env_file()).env_vars}
    sentences = []
    for name in sorted({one.upper() for one in given}):
        setting = name.removeprefix("APP_")
        if name != setting and setting not in known:
            near = get_close_matches(setting, known, n=1, cutoff=0.75)
            meant = f": did you mean APP_{near[0]}?" if near else "."
            sentences.append(f"{name} is no setting and is ignored{meant}")
    return sentences


def load_environment() -> Environment:
    """Raises SystemExit with a sentence for each bad setting."""
    try:
        environment = Environment(_env_file=env_file())  # type: ignore[call-arg]  # of the base class
    except ValidationError as error:
        raise SystemExit("\n".join([*explain(error), *unknown_names()])) from None
{% if cookiecutter.database == "postgresql" %}
    if not environment.database_url.get_secret_value():
        from apps.core.embedded_postgresql import embedded_url

        # Through the environment, so that the processes we start use the same server.
        os.environ["APP_DATABASE_URL"] = embedded_url(ROOT / ".postgresql")
        return load_environment()
{% endif %}
    return environment


def make_env_file() -> bool:
    """Write .env with fresh secrets; return False when there is one already."""
    env_file = Path(".env")
    example = (ROOT / ".env.example").read_text()
    # A name without a value is a secret.
    filled = re.sub(r"(?m)^\w+=$", lambda line: line[0] + secrets.token_urlsafe(48), example)
    try:
        with env_file.open("x") as file:
            env_file.chmod(0o600)
            file.write(filled)
    except FileExistsError:
        return False
    return True
