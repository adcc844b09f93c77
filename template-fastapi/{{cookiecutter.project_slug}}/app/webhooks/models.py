from typing import Any

from sqlalchemy import JSON, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.jobs.models import Work, partial_index
from app.webhooks.signatures.scheme import MOST_ID, MOST_TYPE
from app.webhooks.sources import MOST_NAME

WITH_PAYLOAD = "finished_at IS NOT NULL AND body IS NOT NULL"


class WebhookEvent(Work):
    """What a source told us, once. The row stays for as long as the sender may repeat itself; its
    payload goes."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        # The rows stay: what is found by the time of their end are payloads to purge.
        *Work.indexes()[:-1],
        partial_index("finished_at", where=WITH_PAYLOAD),
    )

    source: Mapped[str] = mapped_column(String(MOST_NAME))
    event_id: Mapped[str] = mapped_column(String(MOST_ID))
    event_type: Mapped[str] = mapped_column(String(MOST_TYPE))
    headers: Mapped[dict[str, Any]] = mapped_column(JSON)
    # As it came, or encrypted; nothing after the purge.
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    encrypted: Mapped[bool] = mapped_column(default=False)
