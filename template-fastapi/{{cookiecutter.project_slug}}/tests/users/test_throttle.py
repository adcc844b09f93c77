import asyncio
from datetime import timedelta

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.main import create_app
from app.users.access import Accounts
from app.users.models import Attempts
from app.users.throttle import LONGEST, TooManyAttemptsError
from tests.conftest import client_of
from tests.users.people import NEW_PASSWORD, Outbox, Person, someone, token_in
from tests.users.test_logins import log_in
from tests.users.test_passwords import ask, finish

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"


def at(app: FastAPI, address: str) -> AsyncClient:
    """A client that asks from this address."""
    transport = ASGITransport(app, client=(address, 1), raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url="http://test")


async def later(session: AsyncSession, seconds: int) -> None:
    """Time passes for the counts."""
    session.expire_all()
    for row in (await session.scalars(select(Attempts))).all():
        row.last_at -= timedelta(seconds=seconds)
        row.expires_at -= timedelta(seconds=seconds)
        row.known_until = row.known_until and row.known_until - timedelta(seconds=seconds)
    await session.flush()


async def guess(accounts: Accounts, *, account: str = "ann", address: str = HERE) -> int:
    """Seconds to wait."""
    try:
        await accounts.throttle.count("login", account=account, address=address)
    except TooManyAttemptsError as error:
        return error.seconds
    return 0


async def test_after_some_failures_even_the_right_password_has_to_wait(
    client: AsyncClient, ann: Person
) -> None:
    statuses = [(await log_in(client, ann.email, "wrong")).status_code for _ in range(5)]
    slowed = await log_in(client, ann.email)

    assert statuses == [401] * 5
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["retry-after"]) <= 2
    assert slowed.headers["content-type"] == "application/problem+json"


async def test_an_account_that_does_not_exist_is_slowed_down_all_the_same(
    client: AsyncClient,
) -> None:
    statuses = [(await log_in(client, "nobody@example.com")).status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]


async def test_counts_outlive_the_refusal_and_a_restart(app: FastAPI) -> None:
    email = "counted@example.com"
    async with client_of(app) as client:
        for _ in range(5):
            assert (await log_in(client, email)).status_code == 401
    restarted = create_app(app.state.settings)
    async with restarted.router.lifespan_context(restarted), client_of(restarted) as client:
        assert (await log_in(client, email)).status_code == 429
    async with app.state.database.transactions.begin() as session:
        await session.execute(delete(Attempts))


async def test_waits_double_up_to_a_limit_and_are_not_prolonged_by_asking(
    accounts: Accounts, session: AsyncSession
) -> None:
    waits = []
    for _ in range(16):
        wait = await guess(accounts)
        assert await guess(accounts) in (wait, 0) or wait == 0
        if wait:
            waits.append(wait)
            await later(session, wait)
            assert await guess(accounts) == 0
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == LONGEST


async def test_one_address_that_tries_many_accounts_is_slowed_down(accounts: Accounts) -> None:
    waits = [await guess(accounts, account=f"user{number}") for number in range(51)]

    assert waits == [0] * 50 + [2]
    assert await guess(accounts, account="other", address=ELSEWHERE) == 0


async def test_many_addresses_that_try_one_account_are_slowed_down(accounts: Accounts) -> None:
    waits = [await guess(accounts, address=f"10.0.0.{number}") for number in range(21)]

    assert waits == [0] * 20 + [2]
    assert await guess(accounts, account="bob", address=HERE) == 0


async def test_an_attacker_does_not_keep_the_owner_out(
    app: FastAPI, client: AsyncClient, ann: Person, session: AsyncSession, accounts: Accounts
) -> None:
    async with at(app, HERE) as at_home:
        assert (await log_in(at_home, ann.email)).status_code == 200
        for number in range(30):
            await guess(accounts, account=ann.email, address=f"10.0.0.{number}")
        assert await guess(accounts, account=ann.email, address=ELSEWHERE) > 0

        # Known here; and an own mistake is forgiven with the next login.
        assert (await log_in(at_home, ann.email, "wrong")).status_code == 401
        for _ in range(6):
            assert (await log_in(at_home, ann.email)).status_code == 200


async def test_a_new_password_by_e_mail_lets_the_owner_in_from_a_new_place(
    app: FastAPI, client: AsyncClient, outbox: Outbox, ann: Person, accounts: Accounts
) -> None:
    for number in range(30):
        await guess(accounts, account=ann.email, address=f"10.0.0.{number}")
    async with at(app, ELSEWHERE) as away:
        assert (await log_in(away, ann.email)).status_code == 429
        await ask(away, ann.email)
        await finish(away, token_in((await outbox.mails())[0]))
        assert (await log_in(away, ann.email, NEW_PASSWORD)).status_code == 200


async def test_a_place_is_known_for_a_while_only(accounts: Accounts, session: AsyncSession) -> None:
    await accounts.throttle.forgive(session, account="ann", address=HERE)
    await later(session, 31 * 24 * 3600)
    for number in range(20):
        await guess(accounts, address=f"10.0.0.{number}")

    assert await guess(accounts) > 0


async def test_failures_of_yesterday_are_forgotten_and_cleared_away(
    accounts: Accounts, session: AsyncSession
) -> None:
    for _ in range(5):
        await guess(accounts)
    await later(session, 25 * 3600)
    assert await guess(accounts, account="bob", address=ELSEWHERE) == 0
    kept = await session.scalar(select(func.count()).select_from(Attempts))
    assert await guess(accounts) == 0

    assert kept == 3


async def test_old_failures_that_are_still_there_do_not_count(
    accounts: Accounts, session: AsyncSession
) -> None:
    for _ in range(5):
        await guess(accounts)
    await session.execute(update(Attempts).values(last_at=now() - timedelta(hours=25)))
    session.expire_all()

    assert await guess(accounts) == 0


async def test_mailboxes_are_not_flooded(client: AsyncClient, ann: Person, outbox: Outbox) -> None:
    for path in ("/auth/reset", "/auth/sign-up"):
        for email in (ann.email, "nobody@example.com"):
            await client.post(path, json={"email": email})
            await client.post(path, json={"email": email})
    statuses = {
        (await client.post("/auth/reset", json={"email": email})).status_code
        for email in (ann.email, "nobody@example.com")
    }

    assert statuses == {429}
    assert len(await outbox.mails()) <= 8


async def test_neither_e_mails_nor_addresses_are_kept(
    accounts: Accounts, session: AsyncSession
) -> None:
    await guess(accounts, account="ann@example.com", address=HERE)
    rows = (await session.scalars(select(Attempts))).all()

    assert {len(row.key) for row in rows} == {32}
    assert b"ann" not in b"".join(row.key for row in rows)


async def test_of_many_guesses_at_the_same_moment_none_slips_through(app: FastAPI) -> None:
    async with app.state.database.transactions.begin() as session:
        person = await someone(app, session)
    async with client_of(app) as client:
        answers = await asyncio.gather(
            *(log_in(client, person.email, "wrong") for _ in range(12)),
        )
        statuses = [answer.status_code for answer in answers]
    async with app.state.database.transactions.begin() as session:
        await session.execute(delete(Attempts))

    assert statuses.count(401) == 5
    assert statuses.count(429) == 7
