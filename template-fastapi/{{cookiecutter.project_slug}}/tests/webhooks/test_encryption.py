from collections.abc import AsyncIterator

import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands import main
from app.db import Database
from app.jobs.models import State
from app.settings import Settings, explain
from app.webhooks import commands
from app.webhooks.encryption import fernet_of, payload_of
from app.webhooks.handlers import Event, on
from tests.webhooks.sending import events, handled, send


@pytest.fixture
def encrypting(webhook_settings: Settings) -> Settings:
    keys = [SecretStr(Fernet.generate_key().decode())]
    return webhook_settings.model_copy(update={"webhook_encryption_keys": keys})


@pytest.fixture
async def encrypted(
    app: FastAPI, encrypting: Settings, sender: AsyncClient
) -> AsyncIterator[AsyncClient]:
    """Who sends to a service that has a key."""
    app.state.webhooks.fernet = fernet_of(encrypting)
    yield sender
    app.state.webhooks.fernet = None


async def test_a_payload_is_unreadable_in_the_database_and_whole_for_its_handler(
    encrypted: AsyncClient, database: Database, encrypting: Settings
) -> None:
    seen: list[Event] = []

    @on("shop")
    async def paid(event: Event, session: AsyncSession) -> None:
        seen.append(event)

    await send(encrypted, customer="Ann")
    [kept] = await events(database)

    assert kept.body is not None
    assert b"Ann" not in kept.body
    assert await handled(encrypting, database) == [State.DONE]
    assert seen[0].data["customer"] == "Ann"


async def test_what_came_before_the_first_key_is_still_read(
    sender: AsyncClient, database: Database, encrypting: Settings
) -> None:
    await send(sender, customer="Ann")
    [kept] = await events(database)

    assert payload_of(encrypting, kept) == kept.body


async def test_an_older_key_still_decrypts_and_without_it_nothing_is_lost(
    encrypted: AsyncClient,
    database: Database,
    webhook_settings: Settings,
    encrypting: Settings,
) -> None:
    @on("shop", max_attempts=1)
    async def paid(event: Event, session: AsyncSession) -> None: ...

    await send(encrypted, customer="Ann")
    [kept] = await events(database)
    new = SecretStr(Fernet.generate_key().decode())
    both = [new, *encrypting.webhook_encryption_keys]
    changed = encrypting.model_copy(update={"webhook_encryption_keys": both})
    lost = encrypting.model_copy(update={"webhook_encryption_keys": [new]})

    assert b"Ann" in (payload_of(changed, kept) or b"")
    for settings in (lost, webhook_settings):
        with pytest.raises(SystemExit, match="a key that is not in APP_WEBHOOK_ENCRYPTION_KEYS"):
            await commands.show_event(settings, kept.id, payload=True)
    assert await handled(lost, database) == [State.DEAD]
    assert "Ann" in await commands.show_event(encrypting, kept.id, payload=True)


def test_the_command_makes_a_key_and_what_is_none_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["webhook-key"])
    key = capsys.readouterr().out.strip()

    good = Settings(environment="development", webhook_encryption_keys=f"{key}, {key}")
    assert [one.get_secret_value() for one in good.webhook_encryption_keys] == [key, key]
    with pytest.raises(ValidationError) as refused:
        Settings(environment="development", webhook_encryption_keys="secret")
    [sentence] = explain(refused.value)
    assert sentence.startswith("APP_WEBHOOK_ENCRYPTION_KEYS has something in it that is no key")
