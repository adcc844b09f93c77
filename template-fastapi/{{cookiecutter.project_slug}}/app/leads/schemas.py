from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StringConstraints

from app.leads.models import LeadStatus


def text(length: int) -> StringConstraints:
    # PostgreSQL cannot store NUL.
    return StringConstraints(
        strip_whitespace=True, min_length=1, max_length=length, pattern=r"^[^\x00]*$"
    )


Name = Annotated[str, text(200)]
Phone = Annotated[str, text(50)]
Company = Annotated[str, text(200)]
Source = Annotated[str, text(100)]
Notes = Annotated[str, text(10_000)]
Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"]


class LeadCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    email: EmailStr | None = None
    phone: Phone | None = None
    company: Company | None = None
    source: Source | None = None
    status: LeadStatus = LeadStatus.NEW
    notes: Notes | None = None


def without_defaults(schema: dict[str, Any]) -> None:
    """For the OpenAPI schema of changes: a client must not send what nobody changed."""
    for field in schema["properties"].values():
        field.pop("default", None)


class LeadUpdate(BaseModel):
    """Fields that are left out stay as they are; null empties those that may be empty."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=without_defaults)

    name: Name = Field(default="", validate_default=False)
    email: EmailStr | None = None
    phone: Phone | None = None
    company: Company | None = None
    source: Source | None = None
    status: LeadStatus = LeadStatus.NEW
    notes: Notes | None = None


class LeadRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    email: str | None
    phone: str | None
    company: str | None
    source: str | None
    status: LeadStatus
    notes: str | None
    created_at: datetime
    updated_at: datetime


class LeadPage(BaseModel):
    items: list[LeadRead]
    next_cursor: str | None = Field(description="Pass it as cursor to get the next page")


class LeadQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: LeadStatus | None = None
    source: Source | None = None
    email: Annotated[str, text(320)] | None = None
    q: Annotated[str, text(200)] | None = Field(
        default=None,
        description="Searched in name, e-mail and company; small and capital letters are the same",
    )
    sort: Sort = "-created_at"
    cursor: Annotated[str, text(1000)] | None = None
    limit: int = Field(default=50, ge=1, le=200)
