import asyncio
import json
import re
from pathlib import Path

import pytest

from app.commands import main
from app.db import Database
from app.jobs.models import State
from app.settings import Settings
from tests.outbox.receiving import SECRETS, Receiver, ended, send


@pytest.fixture
async def dead(working: None, database: Database, receiver: Receiver) -> int:
    receiver.answers = ["410 Gone"]
    return (await ended(database, await send(database, "lead.won", name="Ann"))).id


@pytest.fixture
def machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sending: Settings, receiver: Receiver
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_DATABASE_URL", sending.database_url.get_secret_value())
    targets = {"n8n": {"url": receiver.url, "secrets": SECRETS, "allow_private": True}}
    monkeypatch.setenv("APP_OUTBOX_TARGETS", json.dumps(targets))


async def test_a_dead_delivery_is_listed_shown_and_retried(
    dead: int, database: Database, machine: None, capsys: pytest.CaptureFixture[str]
) -> None:
    async def said(*arguments: object) -> str:
        """It has a thread of its own, since it runs a loop of its own."""
        await asyncio.to_thread(main, [str(one) for one in arguments])
        return capsys.readouterr().out

    listed = await said("delivery-list", "--state", "dead", "--target", "n8n")
    assert re.search(rf"^{dead} +dead +1 +20.* n8n +lead.won +GiveUpError: The rec", listed, re.M)
    assert await said("delivery-list", "--state", "done") == (
        "id  state  attempts  due  target  type  error\n"
    )
    shown = await said("delivery-show", dead)
    assert '"data":{"name":"Ann"}' in shown
    assert "whsec_" not in shown
    assert await said("delivery-retry", dead) == f"Deliveries {dead} are delivered once more.\n"
    assert (await ended(database, dead)).state == State.DONE


@pytest.mark.parametrize("command", ["delivery-show", "delivery-retry"])
async def test_a_delivery_that_is_not_there_is_said_so(
    command: str, machine: None, database: Database
) -> None:
    with pytest.raises(SystemExit, match=r"there are none|There is no delivery 999999"):
        await asyncio.to_thread(main, [command, "999999"])
