from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ForbiddenError
from app.users.access import Account, Accounts
from app.users.models import User
from app.users.passwords import Passwords
from app.users.service import _unchanged, state_of
from tests.users.people import NEW_PASSWORD, PASSWORD, Outbox, Person, token_in
from tests.users.test_logins import log_in, me, refresh


async def ask(client: AsyncClient, email: str) -> Response:
    return await client.post("/auth/reset", json={"email": email})


async def finish(client: AsyncClient, token: str, password: str = NEW_PASSWORD) -> Response:
    return await client.post("/auth/reset/finish", json={"token": token, "password": password})


async def change(client: AsyncClient, person: Person, **body: Any) -> Response:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD} | body
    return await client.post("/users/me/password", json=body, headers=person.headers)


async def test_a_new_password_by_e_mail_ends_what_the_old_one_opened(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    await ask(client, ann.email.upper())
    [mail] = await outbox.mails()
    response = await finish(client, token_in(mail))

    assert response.status_code == 204
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    assert (await refresh(client, ann.refresh_token)).status_code == 401
    assert (await log_in(client, ann.email)).status_code == 401
    assert (await log_in(client, ann.email, NEW_PASSWORD)).status_code == 200
    [told] = await outbox.mails()
    assert (told.to, "password was changed" in told.subject) == (ann.email, True)


async def test_the_answer_does_not_tell_whether_there_is_an_account(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    known, unknown = await ask(client, ann.email), await ask(client, "nobody@example.com")

    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert [mail.to for mail in await outbox.mails()] == [ann.email]


async def test_a_used_link_costs_no_hash(
    client: AsyncClient, outbox: Outbox, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/auth/reset", "/auth/sign-up"):
        for email in (ann.email, "bob@example.com"):
            await client.post(path, json={"email": email})
    links = [mail for mail in await outbox.mails() if "#token=" in mail.text]
    bodies = [{"token": token_in(mail), "password": NEW_PASSWORD} for mail in links]
    paths = ["/auth/reset/finish", "/auth/sign-up/finish"]
    used = [
        (await client.post(path, json=body)).status_code
        for path, body in zip(paths, bodies, strict=True)
    ]

    async def no_hash(*_: object) -> str:
        raise AssertionError("hashed")

    monkeypatch.setattr(Passwords, "hash", no_hash)
    again = [
        (await client.post(path, json=body)).status_code
        for path, body in zip(paths, bodies, strict=True)
    ]
    assert (used, again) == ([204, 201], [403, 403])


async def test_a_link_works_once(client: AsyncClient, outbox: Outbox, ann: Person) -> None:
    await ask(client, ann.email)
    await ask(client, ann.email)
    first, second = [token_in(mail) for mail in await outbox.mails()]

    assert (await finish(client, first)).status_code == 204
    # Nor does another one that was asked for before.
    for token in (first, second):
        assert (await finish(client, token, "an attacker's password")).status_code == 403


@pytest.mark.parametrize("event", ["password", "email", "deactivated"])
async def test_a_link_is_dead_when_what_it_was_asked_for_has_changed(
    client: AsyncClient, outbox: Outbox, ann: Person, session: AsyncSession, event: str
) -> None:
    await ask(client, ann.email)
    [mail] = await outbox.mails()
    if event == "password":
        await change(client, ann)
    else:
        values = {"email": "new@example.com"} if event == "email" else {"is_active": False}
        await session.execute(update(User).where(User.id == ann.id).values(**values))

    assert (await finish(client, token_in(mail))).status_code == 403


async def test_a_link_expires(
    client: AsyncClient, ann: Person, session: AsyncSession, accounts: Accounts
) -> None:
    state = state_of(await session.get_one(User, ann.id))
    token = accounts.tokens.sign("reset", str(ann.id), timedelta(minutes=-1), state=state)

    assert (await finish(client, token)).status_code == 403


async def test_a_deactivated_account_gets_no_link(
    client: AsyncClient, outbox: Outbox, ann: Person, session: AsyncSession
) -> None:
    await session.execute(update(User).where(User.id == ann.id).values(is_active=False))

    assert (await ask(client, ann.email)).status_code == 202
    assert await outbox.mails() == []


async def test_a_changed_password_logs_the_other_devices_out(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    other = (await log_in(client, ann.email)).json()
    response = await change(client, ann)

    assert response.status_code == 204
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 200
    assert await me(client, other["access_token"]) == 401
    assert (await refresh(client, other["refresh_token"])).status_code == 401
    assert (await log_in(client, ann.email)).status_code == 401
    assert (await log_in(client, ann.email, NEW_PASSWORD)).status_code == 200
    assert [mail.to for mail in await outbox.mails()] == [ann.email]


async def test_who_has_the_device_but_not_the_password_changes_nothing(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    email = {"email": "thief@example.com", "current_password": "wrong"}
    refused = [
        await change(client, ann, current_password="wrong"),
        await client.post("/users/me/email", json=email, headers=ann.headers),
        await client.post(
            "/users/me/deactivate", json={"current_password": "wrong"}, headers=ann.headers
        ),
    ]

    assert [response.status_code for response in refused] == [403, 403, 403]
    assert await outbox.mails() == []
    assert (await log_in(client, ann.email)).status_code == 200


async def test_guessing_the_current_password_is_slowed_down(
    client: AsyncClient, ann: Person
) -> None:
    statuses = [(await change(client, ann, current_password="wrong")).status_code for _ in range(7)]

    assert statuses == [403, 403, 403, 403, 403, 429, 429]


async def test_a_password_that_changes_meanwhile_is_not_overwritten(
    ann: Person, accounts: Accounts
) -> None:
    account = Account(ann.id, ann.email, is_superuser=False, login_id=ann.id)
    with pytest.raises(ForbiddenError):
        async with _unchanged(accounts, account, "a hash of before"):
            pass
