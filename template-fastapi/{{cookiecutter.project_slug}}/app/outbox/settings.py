from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from app.outbox.targets import Targets, targets_of


class OutboxSettings(BaseSettings):
    outbox_targets: Annotated[Targets, NoDecode] = Field(default={}, repr=False)
    outbox_retention_days: int = Field(default=30, ge=1, description="after they were delivered")

    @field_validator("outbox_targets", mode="plain")
    @classmethod
    def name_targets(cls, value: object) -> Targets:
        return targets_of(value)
