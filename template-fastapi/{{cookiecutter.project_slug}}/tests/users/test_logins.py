import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.users.access import Accounts
from app.users.logins import GRACE, open_login
from app.users.models import Login, RefreshToken, User
from app.users.passwords import Passwords
from tests.conftest import client_of
from tests.users.people import NEW_PASSWORD, PASSWORD, Person, someone


async def log_in(client: AsyncClient, email: str, password: str = PASSWORD) -> Response:
    return await client.post("/auth/login", data={"username": email, "password": password})


async def refresh(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def me(client: AsyncClient, access_token: str) -> int:
    headers = {"Authorization": f"Bearer {access_token}"}
    return (await client.get("/users/me", headers=headers)).status_code


async def test_a_login_opens_what_is_ones_own(client: AsyncClient, ann: Person) -> None:
    response = await log_in(client, ann.email)

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    pair = response.json()
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 900)
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    assert (await client.get("/users/me", headers=headers)).json()["email"] == ann.email


async def test_capital_letters_and_keyboards_make_no_difference(
    client: AsyncClient, app: FastAPI, session: AsyncSession
) -> None:
    person = await someone(app, session, email="jörg@exämple.com")
    user = await session.get_one(User, person.id)
    user.password_hash = await app.state.accounts.passwords.hash("a long pässword")
    await session.flush()

    # The letter with its dots in one character, and in two; the domain as servers write it.
    decomposed = "a long pa\u0308ssword"
    for spelling in ("JÖRG@EXÄMPLE.COM", "jörg@xn--exmple-cua.com", "jo\u0308rg@exämple.com"):
        assert (await log_in(client, spelling, decomposed)).status_code == 200


@pytest.mark.parametrize("wrong", ["password", "account", "inactive"])
async def test_a_refused_login_tells_nothing_but_that(
    client: AsyncClient,
    ann: Person,
    session: AsyncSession,
    accounts: Accounts,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    verified = []
    verify = Passwords.verify

    async def counting(self: Passwords, password: str, hash_: str | None) -> Any:
        verified.append(hash_)
        return await verify(self, password, hash_)

    monkeypatch.setattr(Passwords, "verify", counting)
    if wrong == "inactive":
        await session.execute(update(User).where(User.id == ann.id).values(is_active=False))
    email = "nobody@example.com" if wrong == "account" else ann.email
    response = await log_in(client, email, "wrong" if wrong == "password" else PASSWORD)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "The e-mail or the password is wrong."
    # One hash is computed in each case: the time tells nothing either.
    assert len(verified) == 1


async def test_a_hash_without_an_account_takes_as_long_and_is_never_right(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    hasher = accounts.passwords._hasher

    def spy(password: str, hash_: str) -> tuple[bool, str | None]:
        asked.append(hash_)
        return True, None

    monkeypatch.setattr(hasher, "verify_and_update", spy)

    assert await accounts.passwords.verify(PASSWORD, None) == (False, None)
    # The same parameters as for a real one: the text in front of the salt.
    real = await accounts.passwords.hash(PASSWORD)
    assert (
        asked[0].rpartition("$")[0].rpartition("$")[0] == real.rpartition("$")[0].rpartition("$")[0]
    )


async def test_a_hash_with_old_parameters_is_renewed_at_the_login(
    client: AsyncClient, ann: Person, session: AsyncSession
) -> None:
    user = await session.get_one(User, ann.id)
    user.password_hash = old = await Passwords(memory=16, passes=1).hash(PASSWORD)
    await session.flush()
    await log_in(client, ann.email)
    await session.refresh(user)

    assert user.password_hash != old
    assert "m=8," in user.password_hash


async def test_a_password_that_changes_while_it_is_checked_opens_nothing(
    client: AsyncClient,
    ann: Person,
    session: AsyncSession,
    accounts: Accounts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verify = Passwords.verify

    async def slow(self: Passwords, password: str, hash_: str | None) -> Any:
        result = await verify(self, password, hash_)
        changed = await self.hash(NEW_PASSWORD)
        await session.execute(update(User).where(User.id == ann.id).values(password_hash=changed))
        return result

    monkeypatch.setattr(Passwords, "verify", slow)

    assert (await log_in(client, ann.email)).status_code == 401


async def test_a_refresh_token_is_exchanged_for_a_new_pair(
    client: AsyncClient, ann: Person
) -> None:
    first = await refresh(client, ann.refresh_token)
    second = await refresh(client, first.json()["refresh_token"])

    assert first.status_code == second.status_code == 200
    assert await me(client, second.json()["access_token"]) == 200


async def test_neither_tokens_nor_passwords_are_kept(
    client: AsyncClient, ann: Person, session: AsyncSession
) -> None:
    rows = (await session.scalars(select(RefreshToken))).all()

    assert ann.refresh_token.encode() not in b"".join(row.hash for row in rows)
    assert {len(row.hash) for row in rows} == {32}
    assert (await session.get_one(User, ann.id)).password_hash.startswith("$argon2id$")


async def test_the_second_of_two_tabs_is_refused_and_the_login_lives(
    client: AsyncClient, ann: Person
) -> None:
    pair = (await refresh(client, ann.refresh_token)).json()

    assert (await refresh(client, ann.refresh_token)).status_code == 401
    assert await me(client, pair["access_token"]) == 200
    assert (await refresh(client, pair["refresh_token"])).status_code == 200


async def test_a_used_refresh_token_ends_the_login_for_all_and_for_good(app: FastAPI) -> None:
    # With a client that commits for real: what the refused request wrote has to stay.
    async with client_of(app) as client:
        async with app.state.database.transactions.begin() as session:
            person = await someone(app, session)
            other = await client_login(app, session, person)
        thief = (await refresh(client, person.refresh_token)).json()
        async with app.state.database.transactions.begin() as session:
            await session.execute(
                update(RefreshToken)
                .where(RefreshToken.used_at.is_not(None))
                .values(used_at=now() - GRACE - timedelta(seconds=1))
            )
        reused = await refresh(client, person.refresh_token)

        assert reused.status_code == 401
        assert (await refresh(client, thief["refresh_token"])).status_code == 401
        assert await me(client, thief["access_token"]) == 401
        assert (await client.get("/users/me", headers=person.headers)).status_code == 401
        # Another device of the same account is not concerned.
        assert (await refresh(client, other)).status_code == 200


async def client_login(app: FastAPI, session: AsyncSession, person: Person) -> str:
    return (await open_login(app.state.accounts, session, user_id=person.id)).refresh_token


async def test_of_many_at_the_same_moment_one_gets_a_new_pair(app: FastAPI) -> None:
    async with client_of(app) as client:
        async with app.state.database.transactions.begin() as session:
            person = await someone(app, session)
        answers = await asyncio.gather(*(refresh(client, person.refresh_token) for _ in range(10)))

        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200, *[401] * 9]
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert (await refresh(client, winner.json()["refresh_token"])).status_code == 200


async def test_refreshing_and_logging_out_at_the_same_moment_never_fails(app: FastAPI) -> None:
    async with client_of(app) as client:
        for _ in range(5):
            async with app.state.database.transactions.begin() as session:
                person = await someone(app, session)
            body = {"refresh_token": person.refresh_token}
            answers = await asyncio.gather(
                *(client.post("/auth/refresh", json=body) for _ in range(2)),
                *(client.post("/auth/logout", json=body) for _ in range(2)),
            )
            assert {answer.status_code for answer in answers} <= {200, 204, 401}
            assert (await client.get("/users/me", headers=person.headers)).status_code == 401


@pytest.mark.parametrize("token", ["x", "\x00", "é", "a" * 2000])
async def test_an_unknown_refresh_token_is_refused(client: AsyncClient, token: str) -> None:
    assert (await refresh(client, token)).status_code == 401


async def test_an_access_token_is_no_refresh_token_and_the_other_way_round(
    client: AsyncClient, ann: Person
) -> None:
    access = ann.headers["Authorization"].removeprefix("Bearer ")

    assert (await refresh(client, access)).status_code == 401
    assert await me(client, ann.refresh_token) == 401


async def test_a_login_lasts_as_long_as_the_settings_say(
    client: AsyncClient, ann: Person, session: AsyncSession
) -> None:
    await session.execute(
        update(Login).where(Login.user_id == ann.id).values(expires_at=now() - timedelta(seconds=1))
    )

    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert (await refresh(client, ann.refresh_token)).status_code == 401
    # The next login clears it away.
    await log_in(client, ann.email)
    count = select(func.count()).select_from(Login).where(Login.user_id == ann.id)
    assert await session.scalar(count) == 1


async def test_logging_out_ends_the_access_token_at_once(client: AsyncClient, ann: Person) -> None:
    pair = (await log_in(client, ann.email)).json()
    body = {"refresh_token": pair["refresh_token"]}
    again = [await client.post("/auth/logout", json=body) for _ in range(2)]

    assert [response.status_code for response in again] == [204, 204]
    assert await me(client, pair["access_token"]) == 401
    assert (await refresh(client, pair["refresh_token"])).status_code == 401
    # The other device stays.
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 200


async def test_logging_out_with_a_used_token_ends_the_login_too(
    client: AsyncClient, ann: Person
) -> None:
    pair = (await refresh(client, ann.refresh_token)).json()
    await client.post("/auth/logout", json={"refresh_token": ann.refresh_token})

    assert await me(client, pair["access_token"]) == 401


async def test_logging_out_everywhere_ends_all_logins(client: AsyncClient, ann: Person) -> None:
    pair = (await log_in(client, ann.email)).json()
    response = await client.post("/auth/logout-everywhere", headers=ann.headers)

    assert response.status_code == 204
    assert await me(client, pair["access_token"]) == 401
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert (await refresh(client, pair["refresh_token"])).status_code == 401


@pytest.mark.parametrize(
    "content",
    [
        b"username=\xff\xfe&password=\xff",
        b"username=a%00b@example.com&password=%00",
        b"username=a@example.com&password=%ED%A0%80",
        b"username=a%0d%0aX-Injected:%201@example.com&password=x",
    ],
)
async def test_strange_bytes_in_a_login_are_a_refusal(client: AsyncClient, content: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await client.post("/auth/login", content=content, headers=headers)

    assert response.status_code in {400, 401, 422}
    assert "x-injected" not in response.headers


async def test_a_very_long_password_is_refused_before_it_is_hashed(
    client: AsyncClient, ann: Person
) -> None:
    assert (await log_in(client, ann.email, "x" * 201)).status_code == 422
    assert (await log_in(client, ann.email, "x" * 30_000)).status_code == 413


async def test_a_file_is_no_password(client: AsyncClient, ann: Person) -> None:
    files = {"password": ("password", b"x")}
    response = await client.post("/auth/login", data={"username": ann.email}, files=files)

    assert response.status_code == 422
