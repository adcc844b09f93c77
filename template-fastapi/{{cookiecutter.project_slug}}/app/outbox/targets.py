"""Where messages go, as APP_OUTBOX_TARGETS names it."""

import re

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from app.named_settings import Secrets, named, read_as
from app.standard_webhooks import key_of

LEAST_KEY = 24  # bytes, as Standard Webhooks asks for
HEADER = re.compile(r"[A-Za-z0-9-]+")
# What the signature, the body and the connection need.
OURS = {"connection", "content-length", "content-type", "host", "transfer-encoding"}
WEB_ADDRESS = TypeAdapter(HttpUrl)


class Target(BaseModel):
    """A receiver. A message is signed with each of several secrets: for rotation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr  # of n8n and of others it is a secret
    secrets: Secrets
    headers: dict[str, SecretStr] = Field(default={}, description="what the receiver asks for")
    allow_private: bool = False
    timeout: float = Field(default=15, gt=0, le=60, description="seconds for all of it")

    @field_validator("url")
    @classmethod
    def be_a_place(cls, value: SecretStr) -> SecretStr:
        try:
            url = WEB_ADDRESS.validate_python(value.get_secret_value())
        except ValidationError:
            raise ValueError(
                "its url must be a web address, such as https://n8n.example.com/webhook/won"
            ) from None
        if url.username or url.password:
            raise ValueError(
                "its url has a user or a password in it: headers can have them, such as"
                ' {"Authorization": "Basic ..."}'
            )
        # In ASCII, as it goes over the line.
        return SecretStr(str(url))

    @field_validator("secrets")
    @classmethod
    def be_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            try:
                length = len(key_of(secret.get_secret_value()))
            except ValueError:
                length = 0
            if length < LEAST_KEY:
                raise ValueError(
                    f"a secret must be whsec_ and the base64 of {LEAST_KEY} bytes or more"
                )
        if not value:
            raise ValueError("it has no secret to sign with")
        return value

    @field_validator("headers")
    @classmethod
    def be_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, text in value.items():
            content = text.get_secret_value()
            if not HEADER.fullmatch(name) or not (content.isascii() and content.isprintable()):
                raise ValueError("one of its headers is none: take printable ASCII")
            if content != content.strip():
                raise ValueError("one of its headers begins or ends with a space: take it away")
            if name.lower() in OURS or name.lower().startswith("webhook-"):
                raise ValueError(f"its header {name} is one that messages have already")
        # In small letters, so that one of ours is replaced, not sent beside it.
        headers = {name.lower(): text for name, text in value.items()}
        if len(headers) < len(value):
            raise ValueError("one of its headers is there twice, in small letters and in others")
        return headers

    @property
    def keys(self) -> list[str]:
        return [secret.get_secret_value() for secret in self.secrets]


Targets = dict[str, Target]


def targets_of(given: object) -> Targets:
    """From JSON, or what is in it already. Raises MistakesError."""
    return named(
        given,
        lambda values: read_as(Target, values),
        setting="APP_OUTBOX_TARGETS",
        kind="target",
        example='{"n8n": {"url": "https://...", "secrets": ["whsec_..."]}}',
    )
