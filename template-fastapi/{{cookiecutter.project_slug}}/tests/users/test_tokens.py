import base64
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.users.access import Accounts
from app.users.models import User
from app.users.service import state_of
from app.users.tokens import BadTokenError, Tokens
from tests.users.people import Person

KEY = "a key of the tests, long enough for HS256"
OTHER = "another key of the tests, long enough too"


def claims_of(person: Person) -> dict[str, Any]:
    token = person.headers["Authorization"].removeprefix("Bearer ")
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def status(client: AsyncClient, token: str) -> int:
    response = await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    if response.status_code == 401:
        assert response.headers["www-authenticate"] == "Bearer"
    return response.status_code


def key_of(app: FastAPI) -> str:
    key: str = app.state.settings.secret_key.get_secret_value()
    return key


async def test_a_token_with_all_its_claims_is_accepted(
    app: FastAPI, client: AsyncClient, ann: Person
) -> None:
    assert await status(client, jwt.encode(claims_of(ann), key_of(app), "HS256")) == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": -60},
        {"nbf": 60},
        {"iat": 60},
        {"typ": "reset"},
        {"typ": "refresh"},
        {"sub": str(uuid4())},
        {"sid": str(uuid4())},
        {"sub": 1},
        {"jti": 1},
        {"exp": "tomorrow"},
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    app: FastAPI, client: AsyncClient, ann: Person, changed: dict[str, Any]
) -> None:
    moment = int(now().timestamp())
    claims = claims_of(ann) | {
        name: moment + value if isinstance(value, int) and name in ("exp", "nbf", "iat") else value
        for name, value in changed.items()
    }

    # encode() itself refuses some of them.
    payload = json.dumps(claims).encode()
    token = jwt.api_jws.encode(payload, key_of(app), "HS256", headers={"typ": "JWT"})
    assert await status(client, token) == 401


@pytest.mark.parametrize("missing", ["exp", "iat", "nbf", "sub", "jti", "typ"])
async def test_a_token_without_one_of_its_claims_is_refused(
    app: FastAPI, client: AsyncClient, ann: Person, missing: str
) -> None:
    claims = claims_of(ann)
    del claims[missing]

    assert await status(client, jwt.encode(claims, key_of(app), "HS256")) == 401


async def test_a_clock_that_is_a_few_seconds_off_does_no_harm(
    app: FastAPI, client: AsyncClient, ann: Person
) -> None:
    moment = int(now().timestamp())
    claims = claims_of(ann) | {"iat": moment + 5, "nbf": moment + 5, "exp": moment - 5}

    assert await status(client, jwt.encode(claims, key_of(app), "HS256")) == 200


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


async def test_a_token_that_is_not_signed_by_us_is_refused(
    app: FastAPI, client: AsyncClient, ann: Person
) -> None:
    claims = claims_of(ann)
    header, payload, signature = jwt.encode(claims, key_of(app), "HS256").split(".")
    forged = [
        jwt.encode(claims, OTHER, "HS256"),
        # Signed with our key, but in another way.
        jwt.encode(claims, key_of(app), "HS384"),
        jwt.encode(claims, "", "none"),
        *(
            f"{base64url(json.dumps({'alg': name, 'typ': 'JWT'}).encode())}.{payload}.{rest}"
            for name in ("none", "None", "nOnE", "HS512", "RS256", "", "x" * 100)
            for rest in ("", signature)
        ),
        f"{header}.{base64url(json.dumps(claims | {'sub': str(uuid4())}).encode())}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{base64url(b'[' * 1400)}.{payload}.",
        f"{base64url(b'[]')}.{payload}.{signature}",
        f"{base64url(b'null')}.{payload}.{signature}",
        f"{base64url(bytes(range(128, 256)))}.{payload}.{signature}",
        "é.é.é",
        "",
        "x",
        "..",
        "x" * 3000,
    ]
    for token in forged:
        headers = {b"Authorization": f"Bearer {token}".encode()}
        assert (await client.get("/users/me", headers=headers)).status_code == 401, token


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic YTpi", "bearer  ", "Token x", "Bearer a b"]
)
async def test_another_authorization_is_refused(client: AsyncClient, header: str) -> None:
    assert (await client.get("/users/me", headers={"Authorization": header})).status_code == 401


@pytest.mark.parametrize("kind", ["sign-up", "reset", "email"])
async def test_a_link_is_no_access_token(
    client: AsyncClient, ann: Person, accounts: Accounts, kind: Any
) -> None:
    hour = timedelta(hours=1)
    token = accounts.tokens.sign(kind, str(ann.id), hour, sid=claims_of(ann)["sid"])

    assert await status(client, token) == 401


async def test_an_access_token_is_no_link(
    client: AsyncClient, ann: Person, session: AsyncSession, accounts: Accounts
) -> None:
    state = state_of(await session.get_one(User, ann.id))
    claims = {"state": state, "email": "new@example.com"}
    token = accounts.tokens.sign("access", str(ann.id), timedelta(hours=1), **claims)
    body = {"token": token, "password": "a password of some length"}

    assert (await client.post("/auth/reset/finish", json=body)).status_code == 403
    assert (await client.post("/auth/sign-up/finish", json=body)).status_code == 403
    assert (await client.post("/auth/email/finish", json={"token": token})).status_code == 403


def test_what_a_previous_key_signed_is_good_and_a_new_key_signs() -> None:
    old, both, new = Tokens([OTHER]), Tokens([KEY, OTHER]), Tokens([KEY])
    token = old.sign("access", "ann", timedelta(minutes=1))

    assert both.read("access", token)["sub"] == "ann"
    with pytest.raises(BadTokenError):
        new.read("access", token)
    assert new.read("access", both.sign("access", "ann", timedelta(minutes=1)))["sub"] == "ann"


@pytest.mark.parametrize("keys", [[], [""], ["short"], [KEY, "short"]])
def test_nothing_is_signed_with_a_key_that_can_be_guessed(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="APP_SECRET_KEY is shorter than 32"):
        Tokens(keys)
