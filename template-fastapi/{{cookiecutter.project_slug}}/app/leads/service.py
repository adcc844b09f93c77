{% set owner = "owner_id: UUID, " if cookiecutter.auth == "users" else "" %}
{% set of_owner = "owner_id=owner_id, " if cookiecutter.auth == "users" else "" %}
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFoundError
from app.leads.models import Lead
from app.leads.schemas import LeadCreate, LeadQuery, LeadUpdate
from app.pagination import fetch_page

# A lead that changes is an object. A new one, and those of a page, are only shown: rows of the
# table cost less.
LEADS = Lead.__table__
SORTS = {name: LEADS.c[name] for name in ("created_at", "updated_at", "name")}
# Built once: that is half of what it saves.
INSERT = insert(LEADS).returning(*LEADS.c)


async def create_lead(session: AsyncSession, *, {{ owner }}values: LeadCreate) -> Row[Any]:
{% if cookiecutter.auth == "users" %}
    return (await session.execute(INSERT, {"owner_id": owner_id, **values.model_dump()})).one()
{% else %}
    return (await session.execute(INSERT, values.model_dump())).one()
{% endif %}


{% if cookiecutter.auth == "users" %}
async def get_lead(
    session: AsyncSession, *, owner_id: UUID, lead_id: UUID, lock: bool = False
) -> Lead:
{% else %}
async def get_lead(session: AsyncSession, *, lead_id: UUID, lock: bool = False) -> Lead:
{% endif %}
    """With `lock`, nobody else changes or deletes it before our commit. Raises NotFoundError."""
    lead = await session.get(Lead, lead_id, with_for_update=lock)
    if lead is None{{ " or lead.owner_id != owner_id" if cookiecutter.auth == "users" else "" }}:
        raise NotFoundError("There is no lead with this id.")
    return lead


async def list_leads(
    session: AsyncSession, *, {{ owner }}query: LeadQuery
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of leads and the cursor of the next page, if there is one."""
    matching = select(LEADS){{ ".where(LEADS.c.owner_id == owner_id)" if cookiecutter.auth == "users" else "" }}
    for name in ("status", "source", "email"):
        if (value := getattr(query, name)) is not None:
            matching = matching.where(LEADS.c[name] == value)
    if query.q:
        searched = (LEADS.c.name, LEADS.c.email, LEADS.c.company)
        matching = matching.where(
            or_(*(column.icontains(query.q, autoescape=True) for column in searched))
        )
    return await fetch_page(
        session,
        matching,
        SORTS,
        LEADS.c.id,
        sort=query.sort,
        cursor=query.cursor,
        limit=query.limit,
    )


{% if cookiecutter.auth == "users" %}
async def update_lead(
    session: AsyncSession, *, owner_id: UUID, lead_id: UUID, changes: LeadUpdate
) -> Lead:
{% else %}
async def update_lead(session: AsyncSession, *, lead_id: UUID, changes: LeadUpdate) -> Lead:
{% endif %}
    """Raises NotFoundError."""
    lead = await get_lead(session, {{ of_owner }}lead_id=lead_id, lock=True)
    for name, value in changes.model_dump(exclude_unset=True).items():
        setattr(lead, name, value)
    await session.flush()
    return lead


async def delete_lead(session: AsyncSession, *, {{ owner }}lead_id: UUID) -> None:
    """Raises NotFoundError."""
    await session.delete(await get_lead(session, {{ of_owner }}lead_id=lead_id, lock=True))
