from uuid import uuid4

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.jobs.models import Work


def new_message_id() -> str:
    return f"msg_{uuid4().hex}"


class Delivery(Work):
    """A message to a target, to be delivered at least once."""

    __tablename__ = "deliveries"
    __table_args__ = Work.indexes()

    # The same for each attempt: by it the receiver knows a repetition.
    message_id: Mapped[str] = mapped_column(String(40), default=new_message_id)
    target: Mapped[str] = mapped_column(String(64))
    event_type: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
