from uuid import uuid4

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.jobs.models import MOST_KEY, Work
from app.named_settings import MOST_NAME


def new_message_id() -> str:
    return f"msg_{uuid4().hex}"


class OutboxMessage(Work):
    """What a target is told, at least once."""

    __tablename__ = "outbox_messages"
    __table_args__ = Work.indexes()

    # The same for each attempt: by it the receiver knows a repetition.
    message_id: Mapped[str] = mapped_column(String(40), default=new_message_id)
    target: Mapped[str] = mapped_column(String(MOST_NAME))
    event_type: Mapped[str] = mapped_column(String(MOST_KEY))
    body: Mapped[str] = mapped_column(Text)
