from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import Enum, {{ "ForeignKey, " if cookiecutter.auth == "users" else "" }}Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime, now


class LeadStatus(StrEnum):
    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    WON = "won"
    LOST = "lost"


class Lead(Base):
    """A person or company that an automation brought in."""

    __tablename__ = "leads"
    # One index for each sort order, where the id breaks ties, and for each filter.
    __table_args__ = (
{% if cookiecutter.auth == "users" %}
        *(Index(None, "owner_id", name, "id") for name in ("created_at", "updated_at", "name")),
        *(Index(None, "owner_id", name) for name in ("email", "source", "status")),
{% else %}
        *(Index(None, name, "id") for name in ("created_at", "updated_at", "name")),
        *(Index(None, name) for name in ("email", "source", "status")),
{% endif %}
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
{% if cookiecutter.auth == "users" %}
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
{% endif %}
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(320))
    phone: Mapped[str | None] = mapped_column(String(50))
    company: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[LeadStatus] = mapped_column(
        Enum(
            LeadStatus,
            name="status",
            native_enum=False,
            create_constraint=True,
            length=20,
            values_callable=lambda statuses: [status.value for status in statuses],
        ),
        default=LeadStatus.NEW,
    )
    notes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)
