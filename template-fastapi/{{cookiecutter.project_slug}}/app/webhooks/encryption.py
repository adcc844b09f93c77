"""Payloads at rest. With keys in APP_WEBHOOK_ENCRYPTION_KEYS they are tokens of Fernet (AES-128 and
HMAC-SHA256): whoever gets at the database, or at a copy of it, reads none."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.errors import UnprocessableError
from app.jobs.queue import Claimed
from app.settings import Settings
from app.webhooks.models import WebhookEvent


def fernet_of(settings: Settings) -> MultiFernet | None:
    """The first key encrypts, each of them decrypts. None without keys."""
    keys = [Fernet(key.get_secret_value()) for key in settings.webhook_encryption_keys]
    return MultiFernet(keys) if keys else None


def payload_of(settings: Settings, event: WebhookEvent | Claimed) -> bytes | None:
    """As it came, or None when it was purged. Raises UnprocessableError without its key."""
    body: bytes | None = event.body
    if body is None or not event.encrypted:
        return body
    fernet = fernet_of(settings)
    try:
        if fernet is not None:
            return fernet.decrypt(body)
    except InvalidToken:
        pass
    raise UnprocessableError(
        "Its payload was encrypted with a key that is not in APP_WEBHOOK_ENCRYPTION_KEYS."
    )
