"""Senders of webhooks as they really are: their own libraries sign, and nothing of a generated project does. And a
probe in the project that writes down each effect, so that what is lost or done twice can be counted.
"""

import asyncio
import base64
import contextlib
import hmac
import json
import re
import secrets
import sqlite3
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
import stripe
from standardwebhooks.webhooks import Webhook as StandardWebhook
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # it has no types

Data = Mapping[str, str | int | float]
EventKey = tuple[str, str]  # source and event_id, as webhook_events has them

AN_HOUR = 3600  # seconds; more than any tolerance
CONNECTIONS = 32
LONGEST_ANSWER = 30  # seconds that senders wait for one


@dataclass(frozen=True)
class Request:
    event: EventKey  # as the receiver will know it
    path: str
    headers: Mapping[str, str]
    body: bytes
    customer: str = ""  # of which events are to stay in order
    forged: str = ""  # in which way; empty when it is genuine


def new_secret() -> str:
    """Good for all types."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Message:
    """What a sender has to say, and what it signs with, when."""

    id: str
    type: str
    data: Data
    secret: str
    at: float
    body: bytes = b""


@dataclass(frozen=True)
class Sender(ABC):
    """A source of the receiver; its secret is new each time."""

    type: ClassVar[str]
    content_type: ClassVar[str] = "application/json"
    forgeries: ClassVar[tuple[str, ...]] = ("another key", "a changed byte", "no signature")

    name: str
    secret: str = field(default_factory=new_secret)

    @property
    def path(self) -> str:
        return f"/webhooks/{self.name}"

    def settings(self) -> dict[str, Any]:
        """What APP_WEBHOOK_SOURCES has to say of it."""
        return {"type": self.type, "secrets": [self.secret]}

    def known_as(self, message: Message) -> str:
        """The event's id for the receiver."""
        return message.id

    @abstractmethod
    def body(self, message: Message) -> bytes: ...

    @abstractmethod
    def proof(self, message: Message) -> dict[str, str]:
        """The headers that say who sends it."""

    def request(self, event_id: str, event_type: str, data: Data, forged: str = "") -> Request:
        """Signed now; `forged` is one of `forgeries`. A `customer` in the data is what the probe's order goes by, and
        `seconds` is how long its handler takes, before and after what it writes.
        """
        assert forged in ("", *self.forgeries), f"{self.type} cannot be forged by {forged}"
        secret = new_secret() if forged == "another key" else self.secret
        at = time.time() - (AN_HOUR if forged == "an old signature" else 0)
        message = Message(event_id, event_type, data, secret, at)
        message = replace(message, body=self.body(message))
        headers = {"Content-Type": self.content_type}
        if forged != "no signature":
            headers |= self.proof(message)
        body = _changed(message.body) if forged == "a changed byte" else message.body
        event = (self.name, self.known_as(message))
        return Request(event, self.path, headers, body, str(data.get("customer", "")), forged)


class Stripe(Sender):
    type = "stripe"
    forgeries = (*Sender.forgeries, "an old signature")

    def body(self, message: Message) -> bytes:
        event = {"id": message.id, "object": "event", "type": message.type, "data": {"object": dict(message.data)}}
        return json.dumps(event, indent=2).encode()

    def proof(self, message: Message) -> dict[str, str]:
        sign = stripe.WebhookSignature.generate_signature_header
        return {"Stripe-Signature": sign(message.body.decode(), message.secret, int(message.at))}


class Twilio(Sender):
    """Tells of a message in a state: the type is `message.received`, `message.delivered` ..."""

    type = "twilio"
    content_type = "application/x-www-form-urlencoded; charset=UTF-8"

    @property
    def url(self) -> str:
        """As it was entered at Twilio: what stands in front of the server changes it."""
        return f"https://hooks.example.com{self.path}"

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"url": self.url}

    def known_as(self, message: Message) -> str:
        return f"{message.id}:{message.type.removeprefix('message.')}"

    def body(self, message: Message) -> bytes:
        status = message.type.removeprefix("message.")
        form = {"MessageSid": message.id, "SmsStatus": status, "To": "+15005550001", "Body": "Zoë & co + 100 %"}
        return urlencode({**form, **message.data}).encode()

    def proof(self, message: Message) -> dict[str, str]:
        form = dict(parse_qsl(message.body.decode(), keep_blank_values=True))
        return {"X-Twilio-Signature": RequestValidator(message.secret).compute_signature(self.url, form)}


class Standard(Sender):
    type = "standard"
    forgeries = (*Sender.forgeries, "an old signature")

    def body(self, message: Message) -> bytes:
        return json.dumps({"type": message.type, "data": dict(message.data)}).encode()

    def proof(self, message: Message) -> dict[str, str]:
        moment = datetime.fromtimestamp(int(message.at), UTC)
        signature = StandardWebhook(message.secret).sign(message.id, moment, message.body.decode())
        return {
            "webhook-id": message.id,
            "webhook-timestamp": str(int(message.at)),
            "webhook-signature": signature,
        }


class Hmac(Sender):
    """A lender, say, with a header of its own."""

    type = "hmac"
    header = "X-Lender-Signature"

    def settings(self) -> dict[str, Any]:
        fields = {"header": self.header, "prefix": "sha256=", "id_field": "event.id", "type_field": "event.name"}
        return super().settings() | fields

    def body(self, message: Message) -> bytes:
        return json.dumps({"event": {"id": message.id, "name": message.type}, **message.data}).encode()

    def proof(self, message: Message) -> dict[str, str]:
        return {self.header: f"sha256={_hmac_of(message)}"}


class N8n(Sender):
    """By its Crypto node."""

    type = "n8n"

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"auth": "hmac", "id_field": "id"}

    def body(self, message: Message) -> bytes:
        return json.dumps({"id": message.id, "type": message.type, **message.data}).encode()

    def proof(self, message: Message) -> dict[str, str]:
        return {"X-Signature": _hmac_of(message)}


class N8nHeader(N8n):
    """By its Header Auth, which signs nothing."""

    forgeries = ("another key", "no signature")

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"auth": "header"}

    def proof(self, message: Message) -> dict[str, str]:
        return {"X-Webhook-Secret": message.secret}


SENDERS: Mapping[str, type[Sender]] = {one.type: one for one in (Stripe, Twilio, N8n, Standard, Hmac)}


def sources(senders: Iterable[Sender]) -> str:
    """The value of APP_WEBHOOK_SOURCES."""
    return json.dumps({sender.name: sender.settings() for sender in senders})


def _hmac_of(message: Message) -> str:
    return hmac.digest(message.secret.encode(), message.body, "sha256").hex()


def _changed(body: bytes) -> bytes:
    """With another letter or digit near its end, which is in the data."""
    [last] = re.findall(rb"(?s).*[0-9A-Za-z]", body)
    return body[: len(last) - 1] + (b"1" if last.endswith(b"0") else b"0") + body[len(last) :]


@dataclass(frozen=True)
class Answer:
    """None for the status: nobody answered, or the connection broke, so nothing was promised. Times are those of
    `time.monotonic`.
    """

    request: Request
    status: int | None
    sent: float
    came: float


async def deliver(
    home: str,
    requests: Iterable[Request],
    on_answer: Callable[[Answer], None],
    connections: int = CONNECTIONS,
    patience: float = 30,
) -> None:
    """Send each request once, over connections that are all there before the first one is sent, and are kept. Where no
    server listens, a request waits for one for `patience` seconds before it counts as unanswered.
    """
    address = urlsplit(home)
    lines = [Connection(str(address.hostname), address.port or 80, patience) for _ in range(connections)]
    left = iter(requests)

    async def carry(line: Connection) -> None:
        for request in left:
            on_answer(await line.send(request))

    try:
        await asyncio.gather(*(line.open() for line in lines), return_exceptions=True)
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(carry(line))
    finally:
        for line in lines:
            await line.aclose()


class Connection:
    """To a server that may die and come back."""

    def __init__(self, host: str, port: int, patience: float) -> None:
        self.host, self.port, self.patience = host, port, patience
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: Request) -> Answer:
        sent, status = time.monotonic(), None
        try:
            reader, writer = await self._wait_for_a_server()
            sent = time.monotonic()
            async with asyncio.timeout(LONGEST_ANSWER):
                status = await self._exchange(reader, writer, request)
        except (OSError, EOFError, ValueError):
            await self.aclose()
        return Answer(request, status, sent, time.monotonic())

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port)
        return self.streams

    async def _wait_for_a_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        end = time.monotonic() + self.patience
        while True:
            try:
                return await self.open()
            except OSError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.05)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> int:
        more = {"Host": f"{self.host}:{self.port}", "Content-Length": str(len(request.body))}
        lines = [f"POST {request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**more, **request.headers}.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?im)^content-length: *(\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        if re.search(r"(?im)^connection: *close", head):
            await self.aclose()
        return int(head.split(maxsplit=2)[1])

    async def aclose(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


# A handler of ours in `app/handlers/`. What it writes is not unique: what is done twice is to be seen twice.
PROBE = '''
"""Writes down each effect."""

import asyncio
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.webhooks.handlers import Event, on

INSERT = text("INSERT INTO effects (source, event_id) VALUES (:source, :event_id)")


def data_of(event: Event) -> Any:
    data = event.data
    for name in ("data", "object"):
        data = data.get(name, data)
    return data


def customer_of(event: Event) -> object:
    return data_of(event).get("customer")


async def act(event: Event, session: AsyncSession) -> None:
    pause = float(data_of(event).get("seconds", 0)) / 2
    await asyncio.sleep(pause)
    await session.execute(INSERT, {"source": event.source, "event_id": event.id})
    await asyncio.sleep(pause)


for source in SOURCES:
    on(source, order_by=customer_of)(act)
'''


def add_probe(project: Path, senders: Iterable[Sender]) -> None:
    text = PROBE.lstrip("\n").replace("SOURCES", repr([sender.name for sender in senders]))
    (project / "app" / "handlers" / "probe.py").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Evidence:
    """What the database of a project with the probe in it says, asked without the project."""

    url: str

    def create_effects(self) -> None:
        number = "INTEGER PRIMARY KEY" if self.url.startswith("sqlite") else "BIGSERIAL PRIMARY KEY"
        self.ask(f"CREATE TABLE effects (id {number}, source TEXT NOT NULL, event_id TEXT NOT NULL)")

    def effects(self) -> Counter[EventKey]:
        """How often each event took effect."""
        return Counter(self.order_of_effects())

    def order_of_effects(self) -> list[EventKey]:
        return [(source, event_id) for source, event_id in self.ask("SELECT source, event_id FROM effects ORDER BY id")]

    def kept(self) -> Counter[EventKey]:
        """How many rows each event has."""
        rows = self.ask("SELECT source, event_id FROM webhook_events")
        return Counter((source, event_id) for source, event_id in rows)

    def states(self) -> dict[str, int]:
        """How many events are waiting, running, done, dead, cancelled and ignored; without those of which are none."""
        return dict(self.ask("SELECT state, count(*) FROM webhook_events GROUP BY state"))

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Also from a thread of its own, while something else is running."""
        if self.url.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=30)) as connection:
                return connection.execute(statement).fetchall()
        return asyncio.run(self._ask_postgresql(statement))

    async def _ask_postgresql(self, statement: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()
