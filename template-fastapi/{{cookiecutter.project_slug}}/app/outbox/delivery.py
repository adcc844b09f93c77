"""How a message leaves: a signed POST, as https://www.standardwebhooks.com has it."""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urlsplit

import httpcore2
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs.models import State
from app.jobs.queue import Claimed, pause
from app.jobs.registry import GiveUpError, Kind, RetryError, register
from app.outbox.addresses import PrivateAddressError, addresses_of
from app.outbox.models import OutboxMessage
from app.outbox.targets import Target
from app.settings import Settings
from app.standard_webhooks import signature_of

GONE = 410
LONGEST_WAIT = timedelta(hours=24)  # that a receiver may ask for
# The library has no class for all of its errors.
NOT_DELIVERED = (
    OSError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


class DeliveryError(Exception):
    """Not taken. The message names neither the URL nor what the receiver wrote."""


class CheckedNetwork(httpcore2.AnyIOBackend):
    """Connects to addresses that were looked at, and to no others. TLS still asks for a certificate
    of the host's name."""

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await addresses_of(host, port, allow_private=self.allow_private)
        each = timeout and timeout / len(addresses)
        for address in addresses[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return await super().connect_tcp(address, port, each)
        return await super().connect_tcp(addresses[-1], port, each)


async def deliver(session: AsyncSession, row: Claimed) -> State:
    """Done when the receiver answers with 2xx. It makes no statement: on SQLite others could not
    write meanwhile."""
    settings: Settings = session.info["settings"]
    target = settings.outbox_targets.get(row.target)
    if target is None:
        raise DeliveryError(f"There is no target {row.target} in APP_OUTBOX_TARGETS.")
    try:
        async with asyncio.timeout(target.timeout):
            response = await post(target, row)
    except PrivateAddressError as error:
        raise GiveUpError(str(error)) from None
    except socket.gaierror:
        raise DeliveryError("Its host has no address.") from None
    except TimeoutError:
        raise DeliveryError(f"No answer within {target.timeout:g} s.") from None
    except NOT_DELIVERED as error:
        raise DeliveryError(f"Not delivered: {type(error).__name__}.") from None
    judge(response, attempts=row.attempts)
    return State.DONE


async def post(target: Target, row: Claimed) -> httpcore2.Response:
    """Its status and headers: what else the receiver says is not read. Nothing follows a redirect,
    knows a proxy of the environment, or keeps the connection."""
    body, timestamp = row.body.encode(), str(int(now().timestamp()))
    signatures = [signature_of(key, row.message_id, timestamp, body) for key in target.keys]
    url = target.url.get_secret_value()
    headers: dict[bytes | str, bytes | str] = {
        "connection": "close",
        "content-type": "application/json",
        # The library leaves out the brackets around an address of IPv6.
        "host": urlsplit(url).netloc,
        "user-agent": "webhooks",
        **{name: value.get_secret_value() for name, value in target.headers.items()},
        "webhook-id": row.message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
    network = CheckedNetwork(allow_private=target.allow_private)
    async with (
        httpcore2.AsyncConnectionPool(certificates(), network_backend=network) as pool,
        pool.stream(
            "POST",
            url,
            headers=headers,
            content=body,
            extensions={"timeout": {"connect": target.timeout}},
        ) as response,
    ):
        return response


@cache
def certificates() -> ssl.SSLContext:
    """Those that the machine trusts, or SSL_CERT_FILE; reading them takes a while."""
    return httpcore2.default_ssl_context()


def judge(response: httpcore2.Response, *, attempts: int) -> None:
    """Raises when it was not taken."""
    if 200 <= response.status < 300:
        return
    what = f"The receiver answered {response.status}."
    if 300 <= response.status < 400:
        what += " Redirects are not followed: give the target its new url."
    if response.status == GONE:
        raise GiveUpError(what)
    headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    wait = wait_of(headers.get(b"retry-after", ""))
    if wait is None:
        raise DeliveryError(what)
    # Who says 0 each time must not use all attempts up at once.
    raise RetryError(what, after=max(wait, pause(attempts)))


def wait_of(retry_after: str) -> timedelta | None:
    """What Retry-After asks for, in seconds or as a date, within limits."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        wait = timedelta(seconds=int(text[:9]))
    else:
        try:
            wait = parsedate_to_datetime(text) - now()
        except (TypeError, ValueError):
            return None
    return min(max(wait, timedelta()), LONGEST_WAIT)


register(
    # Receivers may be slow, and there may be many messages for one that is away.
    Kind(OutboxMessage, deliver, name=lambda row: f"{row.target} {row.event_type}", share=0.5)
)
