from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from app.webhooks.sources import Sources, sources_of


class WebhookSettings(BaseSettings):
    webhook_sources: Annotated[Sources, NoDecode] = Field(default={}, repr=False)
    webhook_retention_days: int = Field(default=30, ge=1, description="of payloads that are done")

    @field_validator("webhook_sources", mode="plain")
    @classmethod
    def name_sources(cls, value: object) -> Sources:
        return sources_of(value)
