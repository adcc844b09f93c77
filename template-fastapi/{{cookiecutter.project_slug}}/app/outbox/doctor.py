from typing import Literal

import httpcore2

from app.outbox.addresses import PrivateAddressError, addresses_of
from app.outbox.targets import Target
from app.settings import Settings


async def check_targets(settings: Settings) -> list[tuple[Literal["ok", "warning"], str]]:
    """For `just doctor`."""
    if not settings.outbox_targets:
        return [("warning", "APP_OUTBOX_TARGETS names no target: the outbox can tell nobody.")]
    found = [
        sentence
        for name, target in settings.outbox_targets.items()
        for sentence in await mistakes(name, target)
    ]
    if not found:
        return [("ok", "The outbox may send to all of its targets.")]
    return [("warning", sentence) for sentence in found]


async def mistakes(name: str, target: Target) -> list[str]:
    origin = httpcore2.URL(target.url.get_secret_value()).origin
    found = []
    if origin.scheme == b"http" and not target.allow_private:
        found.append(f"What the target {name} is told can be read on its way: use https.")
    try:
        host = origin.host.decode()
        await addresses_of(host, origin.port, allow_private=target.allow_private)
    except PrivateAddressError as error:
        found.append(f"The target {name} gets nothing. {error}")
    except OSError:
        found.append(f"The host of the target {name} has no address.")
    return found
