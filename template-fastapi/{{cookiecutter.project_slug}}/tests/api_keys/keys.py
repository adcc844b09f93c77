"""Keys for tests."""

import copy
from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.api_keys.access import get_database
from app.api_keys.scopes import SCOPES
from app.api_keys.service import issue_key


def overrides(app: FastAPI, sessions: async_sessionmaker[AsyncSession]) -> dict[Any, Any]:
    """Dependencies of keys that write into the test's transaction."""
    database = copy.copy(app.state.database)
    database.transactions = database.readers = sessions
    return {get_database: lambda: database}


async def authorised(app: FastAPI, session: AsyncSession) -> dict[str, str]:
    _, key = await issue_key(session, name="tests", scopes=SCOPES, lifetime=None)
    return {"Authorization": f"Bearer {key}"}
