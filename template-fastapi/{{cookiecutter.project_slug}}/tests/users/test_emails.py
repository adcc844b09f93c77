from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.users.models import User
from tests.users.people import PASSWORD, Outbox, Person, token_in
from tests.users.test_logins import log_in
from tests.users.test_passwords import change

NEW = "new@example.com"


async def ask(client: AsyncClient, person: Person, **body: Any) -> Response:
    body = {"email": NEW, "current_password": PASSWORD} | body
    return await client.post("/users/me/email", json=body, headers=person.headers)


async def finish(client: AsyncClient, token: str) -> int:
    return (await client.post("/auth/email/finish", json={"token": token})).status_code


async def email_of(client: AsyncClient, person: Person) -> str:
    email: str = (await client.get("/users/me", headers=person.headers)).json()["email"]
    return email


async def test_a_new_address_counts_when_it_is_confirmed_and_the_old_one_is_told(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    assert (await ask(client, ann)).status_code == 202
    confirm, told = sorted(await outbox.mails(), key=lambda mail: mail.to != NEW)
    assert (told.to, NEW in told.text, "#token=" in told.text) == (ann.email, True, False)
    assert await email_of(client, ann) == ann.email

    assert await finish(client, token_in(confirm)) == 204
    assert await email_of(client, ann) == NEW
    assert (await log_in(client, NEW)).status_code == 200
    assert (await log_in(client, ann.email)).status_code == 401


async def test_a_confirmation_works_once_even_when_the_old_address_is_back(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    await ask(client, ann)
    there = token_in(next(mail for mail in await outbox.mails() if mail.to == NEW))
    await finish(client, there)
    await ask(client, ann, email=ann.email)
    back = token_in(next(mail for mail in await outbox.mails() if mail.to == ann.email))

    assert await finish(client, back) == 204
    assert await finish(client, there) == 403


async def test_a_new_password_ends_a_change_of_address(
    client: AsyncClient, outbox: Outbox, ann: Person
) -> None:
    await ask(client, ann)
    token = token_in(next(mail for mail in await outbox.mails() if mail.to == NEW))
    await change(client, ann)

    assert await finish(client, token) == 403


async def test_an_address_that_has_an_account_is_told_and_stays_with_it(
    client: AsyncClient, outbox: Outbox, ann: Person, root: Person
) -> None:
    free, taken = await ask(client, ann), await ask(client, ann, email=root.email)

    assert (free.status_code, free.json()) == (taken.status_code, taken.json())
    [told] = [mail for mail in await outbox.mails() if mail.to == root.email]
    assert "#token=" not in told.text


async def test_of_two_who_confirm_the_same_address_one_gets_it(
    client: AsyncClient, outbox: Outbox, ann: Person, root: Person, session: AsyncSession
) -> None:
    await ask(client, ann)
    await ask(client, root)
    first, second = [token_in(mail) for mail in await outbox.mails() if mail.to == NEW]

    assert [await finish(client, first), await finish(client, second)] == [204, 403]
    assert (await session.get_one(User, root.id)).email == root.email


@pytest.mark.parametrize("email", ["nobody", "", "a@example.com\r\nBcc: b@example.com"])
async def test_what_is_no_address_is_refused(client: AsyncClient, ann: Person, email: str) -> None:
    assert (await ask(client, ann, email=email)).status_code == 422
