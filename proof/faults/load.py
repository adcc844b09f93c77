"""Signed events that are sent without a pause, by senders as they are: some try again, some give up, some repeat."""

import asyncio
from dataclasses import dataclass, field
from random import Random

from proof.senders import Connection, EventKey, Hmac, Request

LENDER = Hmac("lender")
SENDERS = 12
PATIENCE = 60  # seconds for which a sender looks for a server
# What one does that was refused or got no answer, though its event may have arrived.
GIVES_UP = 0.5
COMES_TWICE = 0.05
FOLLOWED = 0.25  # of the handlers enqueue a job


@dataclass
class Sent:
    """One event, and the status of each answer; None is none."""

    request: Request
    followed: bool
    answers: list[int | None] = field(default_factory=list)

    @property
    def event(self) -> EventKey:
        return self.request.event

    @property
    def acknowledged(self) -> bool:
        return 200 in self.answers


class Load:
    """`rate` events a second, until `stop`; then each is sent until it is acknowledged or given up."""

    def __init__(self, port: int, random: Random, rate: float) -> None:
        self.sent: list[Sent] = []
        self.acknowledged = 0
        self._port = port
        self._random = random
        self._pause = SENDERS / rate
        self._stopping = False
        self._senders: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._senders = [asyncio.create_task(self._send_for_ever()) for _ in range(SENDERS)]

    async def stop(self) -> int:
        """How many events are refused or get no answer to the end."""
        self._stopping = True
        _, late = await asyncio.wait(self._senders, timeout=PATIENCE)
        self.cancel()
        for ended in await asyncio.gather(*self._senders, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        return len(late)

    def cancel(self) -> None:
        for sender in self._senders:
            sender.cancel()

    async def _send_for_ever(self) -> None:
        connection = Connection("127.0.0.1", self._port, PATIENCE)
        try:
            while not self._stopping:
                await asyncio.sleep(self._random.expovariate(1 / self._pause))
                await self._deliver(connection, self._new())
        finally:
            await connection.aclose()

    def _new(self) -> Sent:
        followed = self._random.random() < FOLLOWED
        data = {
            # Of the handler, in seconds: before its first statement, and in its transaction.
            "before": self._random.choice((0, 0, 0.05, 0.3, 1)),
            "inside": self._random.choice((0, 0.002, 0.01)),
            "followed": followed,
            "text": "x" * int(self._random.expovariate(1 / 500)),
        }
        request = LENDER.request(f"payment-{len(self.sent)}", "payment.made", data)
        self.sent.append(Sent(request, followed))
        return self.sent[-1]

    async def _deliver(self, connection: Connection, sent: Sent) -> None:
        while True:
            status = (await connection.send(sent.request)).status
            self.acknowledged += status == 200 and not sent.acknowledged
            sent.answers.append(status)
            if status != 200 and not sent.acknowledged:
                if self._random.random() < GIVES_UP:
                    return
                await asyncio.sleep(self._random.uniform(0.1, 0.5))
            elif self._random.random() >= COMES_TWICE:
                return
