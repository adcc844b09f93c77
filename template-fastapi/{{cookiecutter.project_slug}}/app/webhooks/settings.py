from typing import Annotated

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from app.webhooks.sources import Sources, sources_of


class WebhookSettings(BaseSettings):
    webhook_sources: Annotated[Sources, NoDecode] = Field(default={}, repr=False)
    webhook_retention_days: int = Field(default=30, ge=1, description="of payloads that are done")

    webhook_encryption_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default=[], description="of payloads at rest: the first encrypts, each decrypts"
    )

    @field_validator("webhook_encryption_keys", mode="before")
    @classmethod
    def split_keys(cls, value: object) -> object:
        if isinstance(value, str):
            return [key.strip() for key in value.split(",") if key.strip()]
        return value

    @field_validator("webhook_encryption_keys")
    @classmethod
    def have_keys_of_fernet(cls, value: list[SecretStr]) -> list[SecretStr]:
        try:
            for key in value:
                Fernet(key.get_secret_value())
        except ValueError:
            raise ValueError(
                "has something in it that is no key: 32 bytes in URL-safe base64, as"
                " `just webhook-key` prints them"
            ) from None
        return value

    @field_validator("webhook_sources", mode="plain")
    @classmethod
    def name_sources(cls, value: object) -> Sources:
        return sources_of(value)
