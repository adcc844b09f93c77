import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api_keys.models import MOST_NAME, ApiKey
from app.api_keys.scopes import SCOPES
from app.db import now
from app.errors import NotFoundError, UnprocessableError

MARK = "key"  # in front, so that people and scanners for secrets recognise one
LONGEST = 200  # characters: ours are shorter


async def issue_key(
    session: AsyncSession, *, name: str, scopes: Iterable[str], lifetime: timedelta | None
) -> tuple[ApiKey, str]:
    """The new key's row, and the key: nobody can show it again. Raises UnprocessableError."""
    if not 0 < len(name.strip()) <= MOST_NAME:
        raise UnprocessableError(f"A key has a name of up to {MOST_NAME} characters: who uses it.")
    asked = sorted(set(scopes))
    if unknown := [scope for scope in asked if scope not in SCOPES]:
        known = ", ".join(SCOPES) or "none: write them in app/api_keys/scopes.py"
        raise UnprocessableError(f"Unknown scopes: {', '.join(unknown)}. There are: {known}.")
    prefix, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
    key = f"{MARK}_{prefix}_{secret}"
    row = ApiKey(
        name=name,
        prefix=prefix,
        hash=digest(key),
        scopes=" ".join(asked),
        expires_at=now() + lifetime if lifetime else None,
    )
    session.add(row)
    await session.flush()
    return row, key


async def find_key(session: AsyncSession, *, key: str) -> ApiKey | None:
    """The row of a key that is good at this moment."""
    parts = key.split("_", 2)
    if len(key) > LONGEST or len(parts) != 3 or not key.isascii() or "\0" in key:
        return None
    row = await session.scalar(select(ApiKey).where(ApiKey.prefix == parts[1]))
    if row is None or not hmac.compare_digest(row.hash, digest(key)):
        return None
    return row if is_good(row, now()) else None


async def list_keys(session: AsyncSession) -> Sequence[ApiKey]:
    return (await session.scalars(select(ApiKey).order_by(ApiKey.created_at))).all()


async def revoke_key(session: AsyncSession, *, prefix: str) -> ApiKey:
    """It stops working at once. Raises NotFoundError."""
    row = await session.scalar(select(ApiKey).where(ApiKey.prefix == prefix).with_for_update())
    if row is None:
        raise NotFoundError("There is no key with this prefix: `just key-list` shows them.")
    row.revoked_at = row.revoked_at or now()
    await session.flush()
    return row


def is_good(row: ApiKey, moment: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > moment)


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
