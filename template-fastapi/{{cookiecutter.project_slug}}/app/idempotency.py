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


def caller_of(request: Request) -> str:
    """Whose keys these are: what the request was authenticated as, if it was."""
    caller: str | None = getattr(request.state, "caller", None)
    return caller or request.headers.get("authorization", "anonymous")


@dataclass(frozen=True)
class Idempotency:
    """What one request says about being a repetition."""

    request: Request
    response: Response
    key: str | None

    async def run(
        self, session: AsyncSession, answer: type[Answer], act: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Act once for each key, in the session's transaction.

        A second request with the key waits for the first one's commit and gets its answer, marked
        with `Idempotency-Replayed: true`. When the first one fails, its key is free again.

        Raises UnprocessableError when the key was used with another body.
        """
        if self.key is None:
            return await act()
        fingerprint = self._digest(
            f"{caller_of(self.request)}\n{self.request.method} {self.request.url.path}\n{self.key}"
        )
        body_hash = self._digest(await self.request.body())
        if not await self._claim(session, fingerprint, body_hash):
            return await self._recall(session, fingerprint, body_hash, answer)
        result = await act()
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.fingerprint == fingerprint)
            .values(answer=result.model_dump_json())
        )
        return result

    def _digest(self, value: str | bytes) -> bytes:
        secret = self.request.app.state.settings.secret_key.get_secret_value()
        content = value if isinstance(value, bytes) else value.encode()
        return hmac.digest(secret.encode(), content, "sha256")

    async def _claim(self, session: AsyncSession, fingerprint: bytes, body_hash: bytes) -> bool:
        """Write the key unless a living one is there; wait for whoever writes it at this moment."""
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        lifetime = timedelta(hours=self.request.app.state.settings.idempotency_hours)
        row = {"body_hash": body_hash, "expires_at": now() + lifetime, "answer": ""}
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
        self, session: AsyncSession, fingerprint: bytes, body_hash: bytes, answer: type[Answer]
    ) -> Answer:
        first_hash, stored = (
            await session.execute(
                select(IdempotencyKey.body_hash, IdempotencyKey.answer).where(
                    IdempotencyKey.fingerprint == fingerprint
                )
            )
        ).one()
        if first_hash != body_hash:
            raise UnprocessableError(
                "This Idempotency-Key was used with another body: send a new key."
            )
        self.response.headers["Idempotency-Replayed"] = "true"
        return answer.model_validate_json(stored)


async def get_idempotency(
    request: Request,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Any text, new for each effect"),
    ] = None,
) -> Idempotency:
    return Idempotency(request, response, idempotency_key)


Once = Annotated[Idempotency, Depends(get_idempotency)]
