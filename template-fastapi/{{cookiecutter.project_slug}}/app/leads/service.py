from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFoundError
from app.leads.models import Lead
from app.leads.schemas import LeadCreate, LeadQuery, LeadUpdate
from app.pagination import Cursor, paginate

SORTS = {"created_at": Lead.created_at, "updated_at": Lead.updated_at, "name": Lead.name}


async def create_lead(session: AsyncSession, *, values: LeadCreate) -> Lead:
    lead = Lead(**values.model_dump())
    session.add(lead)
    await session.flush()
    return lead


async def get_lead(session: AsyncSession, *, lead_id: UUID) -> Lead:
    """Raises NotFoundError."""
    lead = await session.get(Lead, lead_id)
    if lead is None:
        raise NotFoundError("There is no lead with this id.")
    return lead


async def list_leads(
    session: AsyncSession, *, query: LeadQuery
) -> tuple[Sequence[Row[Any]], str | None]:
    """A page of leads and the cursor of the next page, if there is one."""
    # Rows of columns, not Lead objects: a page is only read, and costs half as much this way.
    matching = select(*Lead.__table__.columns)
    for column in (Lead.status, Lead.source, Lead.email):
        if (value := getattr(query, column.key)) is not None:
            matching = matching.where(column == value)
    if query.q:
        searched = (Lead.name, Lead.email, Lead.company)
        matching = matching.where(
            or_(*(column.icontains(query.q, autoescape=True) for column in searched))
        )
    page = paginate(
        matching, SORTS, Lead.id, sort=query.sort, cursor=query.cursor, limit=query.limit
    )
    leads = (await session.execute(page)).all()
    if len(leads) <= query.limit:
        return leads, None
    last = leads[query.limit - 1]
    value = getattr(last, query.sort.removeprefix("-"))
    return leads[: query.limit], Cursor(sort=query.sort, value=str(value), id=last.id).encode()


async def update_lead(session: AsyncSession, *, lead_id: UUID, changes: LeadUpdate) -> Lead:
    """Raises NotFoundError."""
    lead = await get_lead(session, lead_id=lead_id)
    for name, value in changes.model_dump(exclude_unset=True).items():
        setattr(lead, name, value)
    await session.flush()
    return lead


async def delete_lead(session: AsyncSession, *, lead_id: UUID) -> None:
    """Raises NotFoundError."""
    await session.delete(await get_lead(session, lead_id=lead_id))
