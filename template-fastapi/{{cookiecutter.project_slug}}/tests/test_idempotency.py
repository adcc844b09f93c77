import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from pydantic import BaseModel
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Session, now
from app.errors import NotFoundError
from app.idempotency import IdempotencyKey, Once
from app.main import create_app
from app.settings import Settings
from tests.conftest import client_of


class Order(BaseModel):
    item: str


class Receipt(BaseModel):
    number: int


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[FastAPI]:
    """An application that counts orders and refuses those of "nothing"; it commits for real."""
    app = create_app(settings)
    app.state.orders = 0

    @app.post("/orders", status_code=201)
    @app.post("/returns", status_code=201)
    async def order(order: Order, session: Session, once: Once) -> Receipt:
        async def act() -> Receipt:
            if order.item == "nothing":
                raise NotFoundError("There is no such item.")
            app.state.orders += 1
            await asyncio.sleep(0.01)
            return Receipt(number=app.state.orders)

        return await once.run(session, Receipt, act)

    async with app.router.lifespan_context(app):
        yield app
        async with app.state.database.transactions() as session, session.begin():
            await session.execute(delete(IdempotencyKey))


@pytest.fixture
async def buyer(shop: FastAPI) -> AsyncIterator[AsyncClient]:
    async with client_of(shop) as client:
        yield client


async def order(
    buyer: AsyncClient, *, key: str, item: str = "tea", path: str = "/orders", caller: str = "ann"
) -> Response:
    headers = {"Idempotency-Key": key, "Authorization": caller}
    return await buyer.post(path, json={"item": item}, headers=headers)


async def test_a_repeated_request_has_one_effect_and_gets_the_first_answer(
    shop: FastAPI, buyer: AsyncClient
) -> None:
    first = await order(buyer, key="1")
    again = await order(buyer, key="1")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json() == {"number": 1}
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert shop.state.orders == 1


async def test_twenty_at_the_same_moment_have_one_effect(shop: FastAPI, buyer: AsyncClient) -> None:
    answers = await asyncio.gather(*(order(buyer, key="1") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["number"] for answer in answers} == {1}
    assert shop.state.orders == 1


async def test_requests_without_a_key_are_all_acted_on(buyer: AsyncClient) -> None:
    answers = [await buyer.post("/orders", json={"item": "tea"}) for _ in range(2)]

    assert [answer.json()["number"] for answer in answers] == [1, 2]


@pytest.mark.parametrize("other", [{"key": "2"}, {"path": "/returns"}, {"caller": "bob"}])
async def test_a_key_belongs_to_its_caller_and_route(
    buyer: AsyncClient, other: dict[str, str]
) -> None:
    await order(buyer, key="1")

    assert (await order(buyer, **{"key": "1"} | other)).json() == {"number": 2}


async def test_a_key_with_another_body_is_refused(shop: FastAPI, buyer: AsyncClient) -> None:
    await order(buyer, key="1")
    refused = await order(buyer, key="1", item="coffee")

    assert refused.status_code == 422
    assert "another body" in refused.json()["detail"]
    assert shop.state.orders == 1


async def test_a_refused_request_leaves_its_key_free(buyer: AsyncClient) -> None:
    assert (await order(buyer, key="1", item="nothing")).status_code == 404
    assert (await order(buyer, key="1", item="tea")).status_code == 201


async def test_an_expired_key_is_free_again_and_others_are_cleared_away(
    shop: FastAPI, buyer: AsyncClient
) -> None:
    await order(buyer, key="1")
    await order(buyer, key="2")
    past = now() - timedelta(hours=1)

    session: AsyncSession
    async with shop.state.database.transactions() as session, session.begin():
        await session.execute(update(IdempotencyKey).values(expires_at=past))
    again = await order(buyer, key="1")
    async with shop.state.database.readers() as session:
        kept = await session.scalar(select(func.count()).select_from(IdempotencyKey))

    assert again.json() == {"number": 3}
    assert kept == 1


async def test_neither_the_key_nor_the_credentials_are_kept(
    shop: FastAPI, buyer: AsyncClient
) -> None:
    await order(buyer, key="my-key", caller="Bearer my-token")

    session: AsyncSession
    async with shop.state.database.readers() as session:
        row = await session.scalar(select(IdempotencyKey))

    assert row is not None
    assert b"my-" not in row.fingerprint + row.body_hash + row.answer.encode()
