import pytest

from app.outbox.doctor import check_targets
from app.outbox.targets import targets_of
from app.settings import Settings
from tests.outbox.sending import SECRETS, resolve, url_of
from tests.receiver import Receiver


async def test_doctor_names_targets_that_get_nothing(outbox_settings: Settings) -> None:
    in_the_clear, inside = await check_targets(outbox_settings)

    assert in_the_clear[1].startswith("What the target outside is told can be read on its way")
    assert inside[1].startswith("The target outside gets nothing. Its address is not public")
    [(level, text)] = await check_targets(outbox_settings.model_copy(update={"outbox_targets": {}}))
    assert (level, text.split(":")[0]) == ("warning", "APP_OUTBOX_TARGETS names no target")


async def test_doctor_is_content_with_targets_that_can_be_reached(
    outbox_settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    n8n = {"url": url_of(receiver), "secrets": SECRETS, "allow_private": True}
    settings = outbox_settings.model_copy(update={"outbox_targets": targets_of({"n8n": n8n})})

    assert await check_targets(settings) == [("ok", "The outbox may send to all of its targets.")]
    resolve(monkeypatch)
    assert await check_targets(settings) == [
        ("warning", "The host of the target n8n has no address.")
    ]
