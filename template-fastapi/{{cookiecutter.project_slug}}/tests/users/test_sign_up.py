import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.users.access import Accounts, get_accounts
from app.users.models import User
from tests.users.people import NEW_PASSWORD, Outbox, Person, token_in
from tests.users.test_logins import log_in


async def sign_up(client: AsyncClient, email: str, **more: Any) -> Response:
    return await client.post("/auth/sign-up", json={"email": email, **more})


async def finish(client: AsyncClient, token: str, password: str = NEW_PASSWORD) -> Response:
    body = {"token": token, "password": password}
    return await client.post("/auth/sign-up/finish", json=body)


async def test_who_reads_the_e_mail_chooses_the_password(
    client: AsyncClient, outbox: Outbox
) -> None:
    response = await sign_up(client, "Bob@Example.COM")
    [mail] = await outbox.mails()
    assert response.status_code == 202
    assert mail.to == "bob@example.com"
    assert "https://app.example.com/finish-sign-up#token=" in mail.text

    finished = await finish(client, token_in(mail))
    assert finished.status_code == 201
    assert finished.json()["email"] == "bob@example.com"
    assert not finished.json()["is_superuser"]
    assert (await log_in(client, "BOB@example.com", NEW_PASSWORD)).status_code == 200


async def test_the_answer_is_the_same_with_and_without_an_account(
    client: AsyncClient, outbox: Outbox, ann: Person, session: AsyncSession
) -> None:
    known = await sign_up(client, ann.email)
    unknown = await sign_up(client, "nobody@example.com")

    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    told, invited = await outbox.mails()
    assert (told.to, invited.to) == (ann.email, "nobody@example.com")
    assert "already have an account" in told.subject
    assert "#token=" not in told.text


async def test_nothing_is_looked_up_before_the_answer(
    client: AsyncClient, accounts: Accounts, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an answer does not wait for, its time cannot tell.
    def never() -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(accounts.readers, "__call__", never, raising=False)
    for path in ("/auth/sign-up", "/auth/reset"):
        for email in (ann.email, "nobody@example.com"):
            assert (await client.post(path, json={"email": email})).status_code == 202


async def test_a_link_makes_one_account(
    client: AsyncClient, outbox: Outbox, session: AsyncSession
) -> None:
    await sign_up(client, "bob@example.com")
    [mail] = await outbox.mails()
    first = await finish(client, token_in(mail))
    again = await finish(client, token_in(mail), "an attacker's password")

    assert (first.status_code, again.status_code) == (201, 403)
    assert (await log_in(client, "bob@example.com", NEW_PASSWORD)).status_code == 200
    count = select(func.count()).select_from(User).where(User.email == "bob@example.com")
    assert await session.scalar(count) == 1


@pytest.mark.parametrize("password", ["", "short", "x" * 201, 12, None])
async def test_a_password_that_is_too_short_or_too_long_is_refused(
    client: AsyncClient, accounts: Accounts, password: Any
) -> None:
    token = accounts.tokens.sign("sign-up", "bob@example.com", timedelta(hours=1))
    response = await finish(client, token, password)

    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "password"]


async def test_an_expired_link_is_refused(client: AsyncClient, accounts: Accounts) -> None:
    token = accounts.tokens.sign("sign-up", "bob@example.com", timedelta(minutes=-1))

    assert (await finish(client, token)).status_code == 403


@pytest.mark.parametrize(
    "more",
    [
        {"is_superuser": True},
        {"is_active": True},
        {"password": NEW_PASSWORD},
        {"id": "00000000-0000-0000-0000-000000000000"},
    ],
)
async def test_nobody_makes_themselves_more_than_they_are(
    client: AsyncClient, accounts: Accounts, more: dict[str, Any]
) -> None:
    assert (await sign_up(client, "bob@example.com", **more)).status_code == 422
    token = accounts.tokens.sign("sign-up", "bob@example.com", timedelta(hours=1))
    body = {"token": token, "password": NEW_PASSWORD, "is_superuser": True}
    assert (await client.post("/auth/sign-up/finish", json=body)).status_code == 422


@pytest.mark.parametrize(
    "email",
    [
        "nobody",
        "a@b@example.com",
        "a@example.com\nBcc: victim@example.com",
        "a@example.com\r\n\r\nbody",
        "a@example.com,b@example.com",
        "Ann <a@example.com>",
        "a\x00@example.com",
        "\ud800@example.com",
        f"{'a' * 400}@example.com",
    ],
)
async def test_what_is_no_address_is_refused(
    client: AsyncClient, outbox: Outbox, email: str
) -> None:
    # Written with escapes, since not all of them are UTF-8.
    escaped = email.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    content = '{"email": "' + "".join(f"\\u{ord(letter):04x}" for letter in escaped) + '"}'
    headers = {"Content-Type": "application/json"}
    response = await client.post("/auth/sign-up", content=content.encode(), headers=headers)

    assert response.status_code in {202, 422} if email.startswith("Ann") else {422}
    assert {mail.to for mail in await outbox.mails()} <= {"a@example.com"}


async def test_addresses_are_one_however_they_are_written(
    client: AsyncClient, outbox: Outbox
) -> None:
    # The sign for Kelvin looks like a K, and is one in small letters.
    for email in ("kim@example.com", "KIM@example.com", "\u212aim@example.com"):
        await sign_up(client, email)

    assert {mail.to for mail in await outbox.mails()} == {"kim@example.com"}


async def test_closed_means_closed_but_for_who_is_invited(
    app: FastAPI, client: AsyncClient, accounts: Accounts, outbox: Outbox, root: Person
) -> None:
    closed = accounts.settings.model_copy(update={"signup": "closed"})
    app.dependency_overrides[get_accounts] = lambda: dataclasses.replace(accounts, settings=closed)

    assert (await sign_up(client, "bob@example.com")).status_code == 403
    invited = await client.post("/users", json={"email": "bob@example.com"}, headers=root.headers)
    [mail] = await outbox.mails()
    assert invited.status_code == 202
    assert (await finish(client, token_in(mail))).status_code == 201
