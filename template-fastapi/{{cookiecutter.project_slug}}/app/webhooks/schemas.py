from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.models import State
from app.pagination import LARGEST
from app.webhooks.service import WITHOUT_NUL, EventFilter

MOST_DAYS = 100_000


class WebhookEventRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    source: str
    event_id: str = Field(description="The sender's, or a hash of what was sent")
    event_type: str
    state: State
    attempts: int
    last_error: str | None
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None


class WebhookEventDetail(WebhookEventRead):
    headers: dict[str, str]
    order_key: str | None
    max_attempts: int
    payload: str | None = Field(
        default=None, description="When asked for; null also when it was purged"
    )


class WebhookEventPage(BaseModel):
    items: list[WebhookEventRead]
    next_cursor: str | None = Field(description="Pass it as cursor to get the next page")


class WebhookEventQuery(EventFilter):
    cursor: Annotated[str, Field(max_length=1000, pattern=WITHOUT_NUL)] | None = None
    limit: int = Field(default=50, ge=1, le=200)


class ReplayFilter(EventFilter):
    after: int = Field(default=0, ge=0, le=LARGEST, description="Only events with a higher id")


class PurgeFilter(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    days: int = Field(ge=1, le=MOST_DAYS, description="Since they were finished")
    dead: bool = Field(default=False, description="Also those that failed for good")


class Purged(BaseModel):
    purged: int
    more: bool = Field(description="Ask again: there may be others")


class Replayed(BaseModel):
    replayed: int
    last: int | None = Field(description="Ask again with it as `after`; null when that was all")
