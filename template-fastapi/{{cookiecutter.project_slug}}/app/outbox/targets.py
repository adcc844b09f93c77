"""Where messages go, as APP_OUTBOX_TARGETS names it."""

import base64
import binascii
import json
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PREFIX = "whsec_"
LEAST_KEY = 24  # bytes, as Standard Webhooks asks for


def key_of(secret: str) -> bytes:
    """Raises ValueError when it is no secret of Standard Webhooks."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < LEAST_KEY:
        raise ValueError(f"a secret must be whsec_ and base64 of {LEAST_KEY} bytes or more")
    return key


class Target(BaseModel):
    """A receiver. While secrets are changed there are several, and a message is signed with each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr  # of n8n and of others it is a secret
    secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)]
    allow_private: bool = False
    timeout: float = Field(default=15, gt=0, le=60, description="seconds")

    @field_validator("url")
    @classmethod
    def be_a_place(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError("its url must be a web address, such as https://n8n.example.com/hook")
        return value

    @field_validator("secrets")
    @classmethod
    def be_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            key_of(secret.get_secret_value())
        return value

    @property
    def keys(self) -> list[bytes]:
        return [key_of(secret.get_secret_value()) for secret in self.secrets]


Targets = dict[str, Target]


def targets_of(given: object) -> Targets:
    """From JSON, or what is in it already. Raises ValueError without any value in it."""
    try:
        content = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(
            'is no JSON object: in .env write it like \'{"n8n": {"url": "https://...", "secrets":'
            ' ["whsec_..."]}}\''
        )
    return {name: target_of(name, values) for name, values in content.items()}


def target_of(name: object, values: object) -> Target:
    if not (isinstance(name, str) and len(name) <= 64 and NAME.fullmatch(name)):
        raise ValueError("has a name that is not of small letters, digits and single hyphens")
    try:
        return Target.model_validate(values)
    except ValidationError as error:
        [first, *_] = error.errors(include_input=False, include_url=False)
        text = first["msg"].removeprefix("Value error, ")
        place = f"{first['loc'][0]}: " if first["type"] != "value_error" and first["loc"] else ""
        raise ValueError(f"has a mistake in the target {name}: {place}{text}") from None
