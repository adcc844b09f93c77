from typing import cast

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.users.access import Accounts, get_accounts
from tests.users.people import Outbox, Person, someone


@pytest.fixture
async def ann(app: FastAPI, session: AsyncSession, client: AsyncClient) -> Person:
    """Somebody else than the client's own account."""
    return await someone(app, session, email="ann@example.com")


@pytest.fixture
async def root(app: FastAPI, session: AsyncSession, client: AsyncClient) -> Person:
    return await someone(app, session, email="root@example.com", superuser=True)


@pytest.fixture
def accounts(app: FastAPI, client: AsyncClient) -> Accounts:
    return cast(Accounts, app.dependency_overrides[get_accounts]())


@pytest.fixture
def outbox(accounts: Accounts) -> Outbox:
    return cast(Outbox, accounts.post)
