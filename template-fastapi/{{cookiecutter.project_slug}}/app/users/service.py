import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.errors import ForbiddenError, NotFoundError
from app.mail import Mail
from app.pagination import fetch_page
from app.users.access import Account, Accounts
from app.users.logins import end_logins
from app.users.models import User
from app.users.schemas import ProfileUpdate, UserQuery, UserUpdate
from app.users.tokens import BadTokenError

SIGN_UP_LASTS = timedelta(days=1)
RESET_LASTS = timedelta(hours=1)
NEW_ADDRESS_LASTS = timedelta(hours=1)

USERS = User.__table__
SORTS = {name: USERS.c[name] for name in ("created_at", "email")}


class LinkError(ForbiddenError):
    def __init__(self) -> None:
        super().__init__("The link is not valid, or no longer: ask for a new one.")


async def sign_up(accounts: Accounts, *, email: str, address: str) -> None:
    """Send a link to choose a password with; it makes the account.

    Only who reads the e-mail can make an account of the address, and nobody else has chosen its
    password. Where there is an account, the e-mail says so: the answer here does not.
    """
    if accounts.settings.signup == "closed":
        raise ForbiddenError("Sign-up is closed: ask for an invitation.")
    await accounts.throttle.count("mail", account=email, address=address)
    invite(accounts, email=email)


def invite(accounts: Accounts, *, email: str) -> None:
    async def write() -> Mail:
        async with accounts.readers() as session:
            user_id = await session.scalar(select(User.id).where(User.email == email))
        if user_id is not None:
            return accounts.letterhead.has_account(email)
        return accounts.letterhead.sign_up(
            email, accounts.tokens.sign("sign-up", email, SIGN_UP_LASTS)
        )

    accounts.post.soon(write)


async def finish_sign_up(accounts: Accounts, *, token: str, password: str) -> User:
    """Raises LinkError."""
    email = _read(accounts, "sign-up", token)["sub"]
    async with accounts.readers() as session:
        if await session.scalar(select(User.id).where(User.email == email)) is not None:
            raise LinkError
    user = User(email=email, password_hash=await accounts.passwords.hash(password))
    try:
        async with accounts.transactions.begin() as session:
            session.add(user)
    except IntegrityError as error:
        raise LinkError from error
    return user


async def ask_for_reset(accounts: Accounts, *, email: str, address: str) -> None:
    await accounts.throttle.count("mail", account=email, address=address)

    async def write() -> Mail | None:
        async with accounts.readers() as session:
            user = await session.scalar(select(User).where(User.email == email, User.is_active))
        if user is None:
            return None
        token = accounts.tokens.sign("reset", str(user.id), RESET_LASTS, state=state_of(user))
        return accounts.letterhead.reset(user.email, token)

    accounts.post.soon(write)


async def reset_password(accounts: Accounts, *, token: str, password: str, address: str) -> None:
    """Ends all logins, and all waiting for this account at this address. Raises LinkError."""
    claims = _read(accounts, "reset", token)
    # Asked before the hash, too: it is dear, and a used link is no reason for one.
    async with _with_link(accounts, claims):
        pass
    password_hash = await accounts.passwords.hash(password)
    async with _with_link(accounts, claims) as (session, user):
        user.password_hash = password_hash
        await end_logins(session, user_id=user.id)
        await accounts.throttle.forgive(session, account=user.email, address=address)
    _send(accounts, accounts.letterhead.password_changed(user.email))


async def change_password(
    accounts: Accounts, account: Account, *, current: str, new: str, address: str
) -> None:
    """Ends the other logins. Raises ForbiddenError and TooManyAttemptsError."""
    confirmed = await _confirm(accounts, account, password=current, address=address)
    password_hash = await accounts.passwords.hash(new)
    async with _unchanged(accounts, account, confirmed) as (session, user):
        user.password_hash = password_hash
        await end_logins(session, user_id=user.id, but=account.login_id)
    _send(accounts, accounts.letterhead.password_changed(user.email))


async def ask_for_email_change(
    accounts: Accounts, account: Account, *, email: str, password: str, address: str
) -> None:
    """The new address gets a link, the old one is told. Raises ForbiddenError and
    TooManyAttemptsError."""
    await _confirm(accounts, account, password=password, address=address)
    await accounts.throttle.count("mail", account=email, address=address)

    async def write() -> Mail | None:
        async with accounts.readers() as session:
            if await session.scalar(select(User.id).where(User.email == email)) is not None:
                return accounts.letterhead.has_account(email)
            user = await session.get(User, account.id)
        assert user is not None
        token = accounts.tokens.sign(
            "email", str(user.id), NEW_ADDRESS_LASTS, state=state_of(user), email=email
        )
        return accounts.letterhead.new_address(email, token)

    accounts.post.soon(write)
    _send(accounts, accounts.letterhead.address_will_change(account.email, email))


async def change_email(accounts: Accounts, *, token: str) -> None:
    """Raises LinkError."""
    claims = _read(accounts, "email", token)
    try:
        async with _with_link(accounts, claims) as (_, user):
            user.email, user.email_verified_at = claims["email"], now()
    except IntegrityError as error:
        raise LinkError from error


async def deactivate(accounts: Accounts, account: Account, *, password: str, address: str) -> None:
    """Only a superuser brings it back. Raises ForbiddenError and TooManyAttemptsError."""
    confirmed = await _confirm(accounts, account, password=password, address=address)
    async with _unchanged(accounts, account, confirmed) as (session, user):
        user.is_active = False
        await end_logins(session, user_id=user.id)


async def get_user(session: AsyncSession, *, user_id: UUID, lock: bool = False) -> User:
    """Raises NotFoundError."""
    user = await session.get(User, user_id, with_for_update=lock)
    if user is None:
        raise NotFoundError("There is no user with this id.")
    return user


async def update_profile(session: AsyncSession, *, user_id: UUID, changes: ProfileUpdate) -> User:
    user = await get_user(session, user_id=user_id, lock=True)
    user.name = changes.name
    await session.flush()
    return user


async def list_users(
    session: AsyncSession, *, query: UserQuery
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of users and the cursor of the next page, if there is one."""
    matching = select(USERS)
    if query.email is not None:
        matching = matching.where(USERS.c.email == query.email.lower())
    return await fetch_page(
        session,
        matching,
        SORTS,
        USERS.c.id,
        sort=query.sort,
        cursor=query.cursor,
        limit=query.limit,
    )


async def update_user(session: AsyncSession, *, user_id: UUID, changes: UserUpdate) -> User:
    """Raises NotFoundError."""
    user = await get_user(session, user_id=user_id, lock=True)
    user.is_active = changes.is_active
    if not user.is_active:
        await end_logins(session, user_id=user.id)
    await session.flush()
    return user


def state_of(user: User) -> str:
    """What a link is bound to: a new password or address, and it is dead."""
    state = f"{user.password_hash}\n{user.email}\n{user.email_verified_at.isoformat()}"
    return hashlib.sha256(state.encode()).hexdigest()


def _read(accounts: Accounts, kind: Any, token: str) -> dict[str, Any]:
    try:
        return accounts.tokens.read(kind, token)
    except BadTokenError as error:
        raise LinkError from error


def _send(accounts: Accounts, mail: Mail) -> None:
    async def write() -> Mail:
        return mail

    accounts.post.soon(write)


@asynccontextmanager
async def _with_link(
    accounts: Accounts, claims: dict[str, Any]
) -> AsyncIterator[tuple[AsyncSession, User]]:
    """A transaction with the user that a link is of, if it is still good. Raises LinkError."""
    async with accounts.transactions.begin() as session:
        user = await session.get(User, UUID(claims["sub"]), with_for_update=True)
        if user is None or not user.is_active or state_of(user) != claims["state"]:
            raise LinkError
        yield session, user


async def _confirm(accounts: Accounts, account: Account, *, password: str, address: str) -> str:
    """Whoever has the device is not yet who has the password. Returns the hash that it matched;
    raises ForbiddenError and TooManyAttemptsError."""
    await accounts.throttle.count("login", account=account.email, address=address)
    async with accounts.readers() as session:
        password_hash = await session.scalar(
            select(User.password_hash).where(User.id == account.id)
        )
    right, _ = await accounts.passwords.verify(password, password_hash)
    if not right or password_hash is None:
        raise ForbiddenError("The current password is wrong.")
    async with accounts.transactions.begin() as session:
        await accounts.throttle.forgive(session, account=account.email, address=address)
    return password_hash


@asynccontextmanager
async def _unchanged(
    accounts: Accounts, account: Account, password_hash: str
) -> AsyncIterator[tuple[AsyncSession, User]]:
    """A transaction with the user, whose password is still the one that was confirmed."""
    async with accounts.transactions.begin() as session:
        user = await session.get(User, account.id, with_for_update=True)
        if user is None or not user.is_active or user.password_hash != password_hash:
            raise ForbiddenError("The current password is wrong.")
        yield session, user
