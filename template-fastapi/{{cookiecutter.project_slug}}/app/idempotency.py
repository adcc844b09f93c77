"""`Idempotency-Key`: the same request, sent again, has one effect and gets the first answer."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import LargeBinary, Text, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime, now
from app.errors import UnprocessableError

PURGE_AT_ONCE = 10  # rows: each new key takes a few expired ones away, so the table stays small

Answer = TypeVar("Answer", bound=BaseModel)


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"

    # Of caller, route and key: neither credentials nor the caller's keys are kept.
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    answer: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def get_caller(request: Request) -> str:
    """Whose keys these are. Replace it with the account's id once requests are authenticated."""
    return request.headers.get("authorization", "anonymous")


@dataclass(frozen=True)
class Idempotency:
    """What one request says about being a repetition."""

    fingerprint: bytes | None
    body_hash: bytes
    expires_at: datetime
    response: Response

    async def run(
        self, session: AsyncSession, answer: type[Answer], act: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Act once for each key, in the session's transaction.

        A second request with the key waits for the first one's commit and gets its answer, marked
        with `Idempotency-Replayed: true`. When the first one fails, its key is free again.

        Raises UnprocessableError when the key was used with another body.
        """
        if self.fingerprint is None:
            return await act()
        if not await self._claim(session, self.fingerprint):
            return await self._recall(session, self.fingerprint, answer)
        result = await act()
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.fingerprint == self.fingerprint)
            .values(answer=result.model_dump_json())
        )
        return result

    async def _claim(self, session: AsyncSession, fingerprint: bytes) -> bool:
        """Write the key unless a living one is there; wait for whoever writes it at this moment."""
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        row = {"body_hash": self.body_hash, "expires_at": self.expires_at, "answer": ""}
        claimed = await session.scalar(
            dialect.insert(IdempotencyKey)
            .values(fingerprint=fingerprint, **row)
            .on_conflict_do_update(
                index_elements=[IdempotencyKey.fingerprint],
                set_=row,
                where=IdempotencyKey.expires_at < now(),
            )
            .returning(IdempotencyKey.fingerprint)
        )
        if claimed:
            expired = (
                select(IdempotencyKey.fingerprint)
                .where(IdempotencyKey.expires_at < now())
                .limit(PURGE_AT_ONCE)
                .with_for_update(skip_locked=True)
            )
            await session.execute(
                delete(IdempotencyKey).where(IdempotencyKey.fingerprint.in_(expired)),
                execution_options={"synchronize_session": False},
            )
        return bool(claimed)

    async def _recall(
        self, session: AsyncSession, fingerprint: bytes, answer: type[Answer]
    ) -> Answer:
        body_hash, stored = (
            await session.execute(
                select(IdempotencyKey.body_hash, IdempotencyKey.answer).where(
                    IdempotencyKey.fingerprint == fingerprint
                )
            )
        ).one()
        if body_hash != self.body_hash:
            raise UnprocessableError(
                "This Idempotency-Key was used with another body: send a new key."
            )
        self.response.headers["Idempotency-Replayed"] = "true"
        return answer.model_validate_json(stored)


async def get_idempotency(
    request: Request,
    response: Response,
    caller: Annotated[str, Depends(get_caller)],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Any text, new for each effect"),
    ] = None,
) -> Idempotency:
    settings = request.app.state.settings
    route = f"{request.method} {request.url.path}"
    secret = settings.secret_key.get_secret_value().encode()
    fingerprint = None
    if idempotency_key is not None:
        parts = "\n".join([caller, route, idempotency_key])
        fingerprint = hmac.digest(secret, parts.encode(), "sha256")
    return Idempotency(
        fingerprint=fingerprint,
        body_hash=hmac.digest(secret, await request.body(), "sha256"),
        expires_at=now() + timedelta(hours=settings.idempotency_hours),
        response=response,
    )


Once = Annotated[Idempotency, Depends(get_idempotency)]
