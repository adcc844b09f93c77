from collections.abc import Iterator
from typing import Literal

from app.jobs.registry import load_handlers
from app.settings import Settings
from app.webhooks.handlers import HANDLERS

Finding = tuple[Literal["ok", "warning"], str]


def check_sources(settings: Settings) -> Iterator[Finding]:
    """For `just doctor`."""
    load_handlers()
    found = list(mistakes(settings, {source for source, _ in HANDLERS}))
    yield from (("warning", sentence) for sentence in found)
    if not found:
        yield "ok", "Each source of webhooks has a secret and a handler."


def mistakes(settings: Settings, handled: set[str]) -> Iterator[str]:
    if not settings.webhook_sources:
        yield "APP_WEBHOOK_SOURCES names no source: webhooks get a 404."
    for name, source in settings.webhook_sources.items():
        if not source.secrets:
            yield f"The source {name} has no secret: its webhooks get a 404."
        if name not in handled:
            yield f"No handler is for the source {name}: what it sends is kept and ignored."
    for name in sorted(handled - settings.webhook_sources.keys()):
        yield f"A handler is for the source {name}, which APP_WEBHOOK_SOURCES does not name."
