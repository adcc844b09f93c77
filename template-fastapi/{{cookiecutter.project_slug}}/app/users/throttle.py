"""Whoever guesses is slowed down. The counts are rows of the database, written in transactions of
their own: they outlive the refused request and a restart, and all processes share them."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.addresses import network_of
from app.db import now
from app.errors import DomainError
from app.users.models import Attempts

LONGEST = 900  # seconds that anybody waits at once: nobody is locked out for ever
FORGET_AFTER = timedelta(days=1)
KNOWN_FOR = timedelta(days=30)
PURGE_AT_ONCE = 10

Kind = Literal["login", "mail"]


class TooManyAttemptsError(DomainError):
    status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts: try again in {seconds} s.")
        self.seconds = seconds
        self.headers = {"Retry-After": str(seconds)}


@dataclass(frozen=True)
class Limit:
    free: int  # attempts before the first wait
    first: int  # seconds; each further failure doubles them

    def wait(self, row: Attempts, moment: datetime) -> int:
        """Seconds that are left to wait."""
        if row.failures < self.free:
            return 0
        # The exponent is bounded: the wait is long before.
        seconds = min(LONGEST, self.first * 2 ** min(row.failures - self.free, 20))
        left = row.last_at + timedelta(seconds=seconds) - moment
        return max(0, -(-left // timedelta(seconds=1)))


# An account at an address, an account wherever from, an address whatever account.
LIMITS: Mapping[Kind, tuple[Limit, Limit, Limit]] = {
    "login": (Limit(5, 2), Limit(20, 2), Limit(50, 2)),
    "mail": (Limit(3, 60), Limit(5, 60), Limit(20, 60)),
}


class Throttle:
    def __init__(self, transactions: async_sessionmaker[AsyncSession], secret: str) -> None:
        self._transactions = transactions
        self._secret = secret.encode()

    async def count(self, kind: Kind, *, account: str, address: str) -> None:
        """Count an attempt before it is made: of many at once none slips through.

        Where an account has logged in before, what others do elsewhere does not count: an
        attacker cannot keep its owner out. Raises TooManyAttemptsError, and then counts nothing.
        """
        moment = now()
        async with self._transactions.begin() as session:
            rows = await self._locked(session, kind, account, address, moment)
            pair = rows[0]
            known = pair.known_until is not None and pair.known_until > moment
            limits = zip(LIMITS[kind], rows, strict=True)
            counted = [(limit, row) for limit, row in limits if row is pair or not known]
            if seconds := max(limit.wait(row, moment) for limit, row in counted):
                raise TooManyAttemptsError(seconds)
            for _, row in counted:
                row.failures += 1
                row.last_at = moment
                row.expires_at = max(row.expires_at, moment + FORGET_AFTER)
            await self._purge(session, moment)

    async def forgive(self, session: AsyncSession, *, account: str, address: str) -> None:
        """The attempt to log in was right: take it back, and know the account here."""
        moment = now()
        pair, *others = await self._locked(session, "login", account, address, moment)
        known = pair.known_until is not None and pair.known_until > moment
        for row in [] if known else others:
            row.failures = max(0, row.failures - 1)
        pair.failures = 0
        pair.known_until = pair.expires_at = moment + KNOWN_FOR

    async def _locked(
        self, session: AsyncSession, kind: Kind, account: str, address: str, moment: datetime
    ) -> list[Attempts]:
        """The rows of the account at the address, of the account, and of the address."""
        network = network_of(address)
        keys = [
            hmac.digest(self._secret, f"{kind}\n{part}".encode(), "sha256")
            for part in (f"both\n{account}\n{network}", f"account\n{account}", f"from\n{network}")
        ]
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        new = {"failures": 0, "last_at": moment, "expires_at": moment + FORGET_AFTER}
        # All in the same order: two that lock the same rows wait for each other, and no longer.
        await session.execute(
            dialect.insert(Attempts)
            .values([{"key": key, **new} for key in sorted(keys)])
            .on_conflict_do_nothing()
        )
        found = await session.scalars(
            select(Attempts)
            .where(Attempts.key.in_(keys))
            .order_by(Attempts.key)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        rows = {row.key: row for row in found}
        for row in rows.values():
            if row.last_at + FORGET_AFTER < moment:
                row.failures = 0
        return [rows[key] for key in keys]

    async def _purge(self, session: AsyncSession, moment: datetime) -> None:
        """Each attempt takes a few forgotten ones away, so the table stays small."""
        expired = (
            select(Attempts.key)
            .where(Attempts.expires_at < moment)
            .limit(PURGE_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        await session.execute(
            delete(Attempts).where(Attempts.key.in_(expired)),
            execution_options={"synchronize_session": False},
        )
