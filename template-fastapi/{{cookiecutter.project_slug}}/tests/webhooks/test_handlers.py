from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Database
from app.jobs.models import State
from app.jobs.registry import RegistrationError, RetryError
from app.settings import Settings
from app.webhooks.handlers import Event, find, on, order_key_of
from tests.jobs.working import effects, write_effect
from tests.webhooks.sending import events, handled, send


async def nothing(event: Event, session: AsyncSession) -> None: ...


async def test_a_handler_gets_the_event_and_what_it_writes_is_kept(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    seen: list[Event] = []

    @on("shop", "order.paid")
    async def paid(event: Event, session: AsyncSession) -> None:
        seen.append(event)
        await write_effect(session)

    await send(sender, "evt_1", amount=17)

    assert await handled(webhook_settings, database) == [State.DONE]
    assert await effects(database) == 1
    [event] = seen
    assert (event.source, event.id, event.type) == ("shop", "evt_1", "order.paid")
    assert event.data["amount"] == 17


async def test_a_handler_says_how_often_it_is_tried(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    attempts: list[str] = []

    @on("shop", max_attempts=2)
    async def never(event: Event, session: AsyncSession) -> None:
        attempts.append(event.id)
        raise RetryError("Not yet.", after=timedelta())

    await send(sender)

    assert await handled(webhook_settings, database) == [State.DEAD]
    assert len(attempts) == 2


async def test_what_nobody_handles_is_ignored(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    on("shop", "order.refunded")(nothing)
    on("other")(nothing)
    await send(sender)

    assert await handled(webhook_settings, database) == [State.IGNORED]


async def test_a_handler_that_fails_leaves_nothing_and_is_tried_again(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    attempts: list[str] = []

    @on("shop")
    async def flaky(event: Event, session: AsyncSession) -> None:
        await write_effect(session)
        attempts.append(event.id)
        if len(attempts) < 3:
            raise RetryError("Not yet.", after=timedelta())

    await send(sender)

    assert await handled(webhook_settings, database) == [State.DONE]
    assert len(attempts) == 3
    assert await effects(database) == 1


async def test_events_with_the_same_key_are_handled_in_their_order(
    sender: AsyncClient, database: Database, webhook_settings: Settings
) -> None:
    order: list[str] = []

    @on("shop", "order.*", order_by=lambda event: event.data["customer"])
    async def note(event: Event, session: AsyncSession) -> None:
        if event.id == "1" and "failed" not in order:
            order.append("failed")
            raise RetryError("Not yet.", after=timedelta(seconds=0.2))
        order.append(event.id)

    for number, customer in enumerate(("ann", "ann", "bob", "ann"), 1):
        await send(sender, str(number), customer=customer)

    assert set(await handled(webhook_settings, database)) == {State.DONE}
    assert [one for one in order if one != "3"] == ["failed", "1", "2", "4"]
    assert order.index("3") < order.index("1")


@pytest.mark.parametrize(
    ("event_type", "pattern"),
    [
        ("invoice.paid", "invoice.paid"),
        ("invoice.payment.failed", "invoice.payment.*"),
        ("invoice.sent", "invoice.*"),
        ("invoice", "*"),
        ("invoices.sent", "*"),
        ("", "*"),
    ],
)
def test_the_most_specific_handler_is_taken(event_type: str, pattern: str) -> None:
    made = {
        one: handler_named(one) for one in ("invoice.paid", "invoice.payment.*", "invoice.*", "*")
    }
    for one, handler in made.items():
        on("shop", one)(handler)

    found = find("shop", event_type)

    assert found is not None
    assert found.handle is made[pattern]
    assert find("other", event_type) is None


def handler_named(name: str) -> Callable[..., Awaitable[None]]:
    async def handler(event: Event, session: AsyncSession) -> None: ...

    handler.__qualname__ = name
    return handler


def test_two_handlers_for_the_same_are_refused_with_both_names() -> None:
    on("shop", "order.paid")(nothing)
    on("shop", "order.paid")(nothing)
    with pytest.raises(
        RegistrationError, match=r"Two handlers are for order\.paid of shop: .*nothing and .*other"
    ):
        on("shop", "order.paid")(handler_named("other"))


def test_a_handler_that_is_not_asynchronous_is_refused() -> None:
    def handler(event: Event, session: AsyncSession) -> None: ...

    with pytest.raises(RegistrationError, match="is no async function"):
        on("shop")(handler)  # type: ignore[type-var]  # wrong on purpose


@pytest.mark.parametrize(
    ("order_by", "key"),
    [
        (lambda event: event.data["customer"], "shop ann"),
        (lambda event: event.data["nothing"], None),
        (lambda event: None, None),
        (lambda event: 0, "shop 0"),
        (lambda event: "x" * 300, "sha256:"),
        (lambda event: "a\x00b", "sha256:"),
        (lambda event: "\ud800", "sha256:"),
    ],
)
def test_a_key_is_never_the_reason_to_lose_an_event(
    order_by: Callable[[Event], object], key: str | None
) -> None:
    on("shop", order_by=order_by)(nothing)
    made = order_key_of(Event("shop", "1", "", b'{"customer": "ann"}'))

    assert made == key if key is None else str(made).startswith(key)
    assert order_key_of(Event("other", "1", "", b"{}")) is None


def test_forms_are_data_too() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
    event = Event("shop", "1", "", b"From=%2B1500&Body=a+b&Empty=", headers)

    assert event.data == {"From": "+1500", "Body": "a b", "Empty": ""}


async def test_an_event_whose_payload_is_gone_is_dead_and_says_why(
    database: Database, webhook_settings: Settings, sender: AsyncClient
) -> None:
    on("shop")(nothing)
    await send(sender)
    async with database.transactions.begin() as session:
        [event] = await events(database)
        event.body = None
        await session.merge(event)

    assert await handled(webhook_settings, database) == [State.DEAD]
    assert (await events(database))[0].last_error == "GiveUpError: Its payload was purged."
