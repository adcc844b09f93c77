{% if cookiecutter.broker != "embedded" %}
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
{% else %}
from pydantic import Field
{% endif %}
from pydantic_settings import BaseSettings

{% if cookiecutter.broker == "redis" %}
BROKERS = ("redis", "rediss")
EXAMPLE = "Redis, the broker of this project: write it like redis://user:password@host:6379/0"
NEEDED_BY_JOBS = ("broker_url",)
{% elif cookiecutter.broker == "rabbitmq" %}
BROKERS = ("amqp", "amqps")
EXAMPLE = "RabbitMQ, the broker of this project: write it like amqp://user:password@host:5672/name"
NEEDED_BY_JOBS = ("broker_url",)
{% else %}
NEEDED_BY_JOBS = ()
{% endif %}


class JobSettings(BaseSettings):
{% if cookiecutter.broker != "embedded" %}
    broker_url: SecretStr = Field(
        default=SecretStr(""), description="empty, in development: jobs wait in the database alone"
    )
{% endif %}
    embedded_worker: bool = Field(default=True, description="jobs run in the web process, too")
    worker_concurrency: int = Field(
        default=10, ge=1, description="jobs at once in each process; each has a connection"
    )
    worker_poll: float = Field(
        default=1, gt=0, description="seconds until a worker that was not woken looks by itself"
    )
    job_lease: float = Field(
        default=30, ge=0.5, description="seconds until a dead worker's jobs are taken over"
    )
    job_retention_days: int = Field(default=30, ge=1, description="after they were finished")
{% if cookiecutter.broker != "embedded" %}

    @field_validator("broker_url")
    @classmethod
    def name_a_broker(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        try:
            parts = urlsplit(url)
            known = bool(parts.hostname) and parts.scheme in BROKERS and parts.port != 0
        except ValueError:
            known = False
        if url and not known:
            raise ValueError(f"is not a URL of {EXAMPLE}, or leave it out in development")
        return value
{% endif %}
