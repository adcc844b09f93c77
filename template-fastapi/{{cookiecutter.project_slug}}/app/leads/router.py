{% set read = ', dependencies=[Depends(requires("leads:read"))]' if cookiecutter.auth == "api_key" else "" %}
{% set write = ', dependencies=[Depends(requires("leads:write"))]' if cookiecutter.auth == "api_key" else "" %}
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, {{ "Depends, " if cookiecutter.auth == "api_key" else "" }}Query

{% if cookiecutter.auth == "api_key" %}
from app.api_keys.access import requires
{% endif %}
from app.db import Reader, Session
from app.idempotency import Once
from app.leads import service
from app.leads.schemas import LeadCreate, LeadPage, LeadQuery, LeadRead, LeadUpdate
{% if cookiecutter.auth == "users" %}
from app.users.access import CurrentUser

router = APIRouter(prefix="/leads", tags=["leads"])


@router.post("", status_code=201)
async def create(values: LeadCreate, user: CurrentUser, session: Session, once: Once) -> LeadRead:
    async def act() -> LeadRead:
        lead = await service.create_lead(session, owner_id=user.id, values=values)
        return LeadRead.model_validate(lead)

    return await once.run(session, LeadRead, act)


@router.get("", name="list")
async def list_page(
    query: Annotated[LeadQuery, Query()], user: CurrentUser, session: Reader
) -> LeadPage:
    leads, next_cursor = await service.list_leads(session, owner_id=user.id, query=query)
    return LeadPage.model_validate({"items": leads, "next_cursor": next_cursor})


@router.get("/{lead_id}")
async def read(lead_id: UUID, user: CurrentUser, session: Reader) -> LeadRead:
    return LeadRead.model_validate(
        await service.get_lead(session, owner_id=user.id, lead_id=lead_id)
    )


@router.patch("/{lead_id}")
async def update(
    lead_id: UUID, changes: LeadUpdate, user: CurrentUser, session: Session
) -> LeadRead:
    return LeadRead.model_validate(
        await service.update_lead(session, owner_id=user.id, lead_id=lead_id, changes=changes)
    )


@router.delete("/{lead_id}", status_code=204)
async def delete(lead_id: UUID, user: CurrentUser, session: Session) -> None:
    await service.delete_lead(session, owner_id=user.id, lead_id=lead_id)
{% else %}

router = APIRouter(prefix="/leads", tags=["leads"])


@router.post("", status_code=201{{ write }})
async def create(values: LeadCreate, session: Session, once: Once) -> LeadRead:
    async def act() -> LeadRead:
        return LeadRead.model_validate(await service.create_lead(session, values=values))

    return await once.run(session, LeadRead, act)


@router.get("", name="list"{{ read }})
async def list_page(query: Annotated[LeadQuery, Query()], session: Reader) -> LeadPage:
    leads, next_cursor = await service.list_leads(session, query=query)
    return LeadPage.model_validate({"items": leads, "next_cursor": next_cursor})


@router.get("/{lead_id}"{{ read }})
async def read(lead_id: UUID, session: Reader) -> LeadRead:
    return LeadRead.model_validate(await service.get_lead(session, lead_id=lead_id))


@router.patch("/{lead_id}"{{ write }})
async def update(lead_id: UUID, changes: LeadUpdate, session: Session) -> LeadRead:
    return LeadRead.model_validate(
        await service.update_lead(session, lead_id=lead_id, changes=changes)
    )


@router.delete("/{lead_id}", status_code=204{{ write }})
async def delete(lead_id: UUID, session: Session) -> None:
    await service.delete_lead(session, lead_id=lead_id)
{% endif %}
