from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.errors import UnauthorizedError
from app.users.access import Accounts
from app.users.models import Login, RefreshToken, User
from app.users.schemas import TokenPair, normal
from app.users.tokens import digest, new_secret

# Two tabs that refresh at once, or an answer that was lost: the second one is refused, but is no
# reason to end the login.
GRACE = timedelta(seconds=10)
PURGE_AT_ONCE = 10


async def log_in(accounts: Accounts, *, email: str, password: str, address: str) -> TokenPair:
    """Raises UnauthorizedError, for all reasons the same, and TooManyAttemptsError."""
    email = normal(email)
    await accounts.throttle.count("login", account=email, address=address)
    async with accounts.readers() as session:
        user = await session.scalar(select(User).where(User.email == email))
    right, renewed = await accounts.passwords.verify(password, user.password_hash if user else None)
    if user is not None and right:
        async with accounts.transactions.begin() as session:
            # Once more, now that nobody else changes it: hashing took a while.
            current = await session.get(User, user.id, with_for_update=True)
            if current and current.is_active and current.password_hash == user.password_hash:
                current.password_hash = renewed or current.password_hash
                await accounts.throttle.forgive(session, account=email, address=address)
                return await open_login(accounts, session, user_id=user.id)
    raise UnauthorizedError("The e-mail or the password is wrong.")


async def refresh(accounts: Accounts, *, token: str) -> TokenPair:
    """A new pair for a refresh token, which works once.

    A used one that comes again ends the login, with all its tokens: whoever of the two is the
    thief is out. Raises UnauthorizedError, after that is committed.
    """
    async with accounts.transactions.begin() as session:
        if pair := await _rotate(accounts, session, hash_=digest(token)):
            return pair
    raise UnauthorizedError("The refresh token is not valid, or no longer: log in again.")


async def log_out(accounts: Accounts, *, token: str) -> None:
    """End the login of a refresh token, a used one as well."""
    of_token = select(RefreshToken.login_id).where(RefreshToken.hash == digest(token))
    async with accounts.transactions.begin() as session:
        await session.execute(delete(Login).where(Login.id == of_token.scalar_subquery()))


async def log_out_everywhere(accounts: Accounts, *, user_id: UUID) -> None:
    async with accounts.transactions.begin() as session:
        await end_logins(session, user_id=user_id)


async def end_logins(session: AsyncSession, *, user_id: UUID, but: UUID | None = None) -> None:
    ended = delete(Login).where(Login.user_id == user_id)
    await session.execute(ended.where(Login.id != but) if but else ended)


async def open_login(accounts: Accounts, session: AsyncSession, *, user_id: UUID) -> TokenPair:
    moment = now()
    login = Login(user_id=user_id, expires_at=moment + timedelta(days=accounts.settings.login_days))
    session.add(login)
    await session.flush()
    expired = (
        select(Login.id)
        .where(Login.expires_at < moment)
        .limit(PURGE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    await session.execute(
        delete(Login).where(Login.id.in_(expired)),
        execution_options={"synchronize_session": False},
    )
    return await _pair(accounts, session, login=login)


async def _rotate(accounts: Accounts, session: AsyncSession, *, hash_: bytes) -> TokenPair | None:
    moment = now()
    login_id = await session.scalar(select(RefreshToken.login_id).where(RefreshToken.hash == hash_))
    # Who holds the login's row is alone with its tokens.
    login = await session.get(Login, login_id, with_for_update=True) if login_id else None
    if login is None:
        return None
    used = await session.get(RefreshToken, hash_)
    user = await session.get(User, login.user_id)
    assert used is not None
    assert user is not None
    if used.used_at is not None:
        if moment - used.used_at > GRACE:
            structlog.get_logger().warning("refresh_token_reused", user=str(user.id))
            await session.delete(login)
        return None
    if login.expires_at <= moment or not user.is_active:
        return None
    used.used_at = moment
    return await _pair(accounts, session, login=login)


async def _pair(accounts: Accounts, session: AsyncSession, *, login: Login) -> TokenPair:
    lifetime = timedelta(minutes=accounts.settings.access_minutes)
    secret = new_secret()
    session.add(RefreshToken(hash=digest(secret), login_id=login.id))
    await session.flush()
    return TokenPair(
        access_token=accounts.tokens.sign(
            "access", str(login.user_id), lifetime, sid=str(login.id)
        ),
        refresh_token=secret,
        expires_in=int(lifetime.total_seconds()),
    )
