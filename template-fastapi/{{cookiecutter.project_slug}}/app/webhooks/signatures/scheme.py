"""What all schemes of signatures share. Verifying is a pure function of what came, of the source's
settings and of the time; it takes as long for a wrong signature as for a right one."""

import base64
import hashlib
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field

from app.named_settings import Secrets

MOST_ID = 255  # characters
MOST_TYPE = 200
TOLERANCE = 300  # seconds


class BadSignatureError(Exception):
    """The message may be shown to whoever sent it."""


@dataclass(frozen=True)
class Delivery:
    """A request as it came. Nothing of it may be believed before it is verified."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    url: str = ""


@dataclass(frozen=True)
class Identity:
    """Which event it is: the same for each time that the sender tries again."""

    id: str
    type: str


@dataclass(frozen=True)
class Answer:
    body: str = '{"received":true}'
    media_type: str = "application/json"


class Source(BaseModel, ABC):
    """One sender, as the settings have it. Each of several secrets is good: for rotation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: ClassVar[Answer] = Answer()

    type: str
    secrets: Secrets = ()

    @property
    def keys(self) -> list[str]:
        return [secret.get_secret_value() for secret in self.secrets]

    @abstractmethod
    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        """Raises BadSignatureError."""

    @abstractmethod
    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        """A delivery as the sender makes it, signed with the first secret. Raises ValueError when
        we cannot."""


class SignedInTime(Source):
    """With a timestamp in what is signed."""

    tolerance: int = Field(default=TOLERANCE, ge=1, description="seconds, to both sides")


def header(delivery: Delivery, *names: str) -> str:
    """The first of them that is there. Raises BadSignatureError."""
    for name in names:
        if value := delivery.headers.get(name.lower()):
            return value
    raise BadSignatureError(f"The header {names[0]} is missing.")


def check_time(timestamp: str, *, at: float, tolerance: int) -> None:
    """Raises BadSignatureError. Too far in the future is as bad: it would be good for too long."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise BadSignatureError("The timestamp of the signature is no number.")
    if abs(at - int(timestamp)) > tolerance:
        raise BadSignatureError(f"The signature is not of the last {tolerance} seconds.")


def check_any(given: Iterable[bytes], expected: Iterable[bytes]) -> None:
    """Raises BadSignatureError. All are compared, so that the time tells nothing."""
    good = list(expected)
    matches = [hmac.compare_digest(one, other) for one in given for other in good]
    if not any(matches):
        raise BadSignatureError("The signature does not match.")


def check_hmac(
    delivery: Delivery,
    keys: Iterable[str],
    *,
    name: str,
    algorithm: str,
    encoding: str,
    prefix: str,
) -> None:
    """An HMAC of the raw body in a header, which may have several with commas between them.

    Raises BadSignatureError.
    """
    given = [one.strip().removeprefix(prefix).encode() for one in header(delivery, name).split(",")]
    if encoding == "hex":
        given = [one.lower() for one in given]
    expected = [hmac_of(key, delivery.body, algorithm=algorithm, encoding=encoding) for key in keys]
    check_any(given, [one.encode() for one in expected])


def hmac_of(key: str, body: bytes, *, algorithm: str, encoding: str) -> str:
    digest = hmac.digest(key.encode(), body, algorithm)
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def hash_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def identity(event_id: object, event_type: object, *, otherwise: bytes) -> Identity:
    """With a hash where there is no id, or none that can be kept."""
    whole = text_of(event_id)
    usable = whole.isprintable() and 0 < len(whole) <= MOST_ID
    kind = "".join(letter for letter in text_of(event_type) if letter.isprintable())[:MOST_TYPE]
    return Identity(whole if usable else hash_of(otherwise), kind)


def text_of(value: object) -> str:
    """Empty for what names nothing."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def json_of(body: bytes) -> Any:
    """None when it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def field_of(content: Any, path: str) -> Any:
    """What `data.object.id` leads to, or None."""
    for name in path.split(".") if path else ():
        content = content.get(name) if isinstance(content, dict) else None
    return content if path else None


def form_of(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)


def json_body(
    event_type: str, event_id: str, *, id_field: str = "id", type_field: str = "type"
) -> bytes:
    """A body for samples, with both where they belong."""
    content: dict[str, Any] = {"sample": True, "sample_id": event_id}
    for path, value in ((id_field, event_id), (type_field, event_type)):
        *folders, name = path.split(".")
        place = content
        for folder in folders:
            place = place.setdefault(folder, {})
        if name:
            place[name] = value
    return json.dumps(content).encode()
