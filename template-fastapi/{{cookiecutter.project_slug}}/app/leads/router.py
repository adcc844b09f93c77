from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.db import Reader, Session
from app.idempotency import Once
from app.leads import service
from app.leads.schemas import LeadCreate, LeadPage, LeadQuery, LeadRead, LeadUpdate

router = APIRouter(prefix="/leads", tags=["leads"])


@router.post("", status_code=201)
async def create(values: LeadCreate, session: Session, once: Once) -> LeadRead:
    async def act() -> LeadRead:
        return LeadRead.model_validate(await service.create_lead(session, values=values))

    return await once.run(session, LeadRead, act)


@router.get("", name="list")
async def list_page(query: Annotated[LeadQuery, Query()], session: Reader) -> LeadPage:
    leads, next_cursor = await service.list_leads(session, query=query)
    return LeadPage.model_validate({"items": leads, "next_cursor": next_cursor})


@router.get("/{lead_id}")
async def read(lead_id: UUID, session: Reader) -> LeadRead:
    return LeadRead.model_validate(await service.get_lead(session, lead_id=lead_id))


@router.patch("/{lead_id}")
async def update(lead_id: UUID, changes: LeadUpdate, session: Session) -> LeadRead:
    return LeadRead.model_validate(
        await service.update_lead(session, lead_id=lead_id, changes=changes)
    )


@router.delete("/{lead_id}", status_code=204)
async def delete(lead_id: UUID, session: Session) -> None:
    await service.delete_lead(session, lead_id=lead_id)
