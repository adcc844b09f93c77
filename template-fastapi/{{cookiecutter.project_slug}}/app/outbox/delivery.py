"""How a message leaves: a signed POST, as https://www.standardwebhooks.com has it."""

import asyncio
import base64
import hmac
import ssl
from collections.abc import Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import httpx2
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import now
from app.jobs.models import State
from app.jobs.queue import Claimed
from app.jobs.registry import GiveUpError, Kind, RetryError, register
from app.outbox.addresses import PrivateAddressError, address_of
from app.outbox.models import Delivery
from app.outbox.targets import Target
from app.settings import Settings

GONE = 410
LONGEST_WAIT = timedelta(hours=24)  # that a receiver may ask for


class DeliveryError(Exception):
    """Not taken. The message names neither the URL nor what the receiver wrote."""


def signatures(keys: Sequence[bytes], message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return " ".join(f"v1,{digest}" for digest in digests)


async def deliver(session: AsyncSession, row: Claimed) -> State:
    """Done when the receiver answers with 2xx. No statement before: on SQLite others could not write."""
    settings: Settings = session.info["settings"]
    target = settings.outbox_targets.get(row.target)
    if target is None:
        raise DeliveryError(f"There is no target {row.target} in APP_OUTBOX_TARGETS.")
    try:
        async with asyncio.timeout(target.timeout):
            response = await post(target, row)
    except PrivateAddressError as error:
        raise GiveUpError(str(error)) from None
    except TimeoutError:
        raise DeliveryError(f"No answer within {target.timeout:g} s.") from None
    except (OSError, httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as error:
        raise DeliveryError(f"Not reached: {type(error).__name__}.") from None
    judge(response)
    return State.DONE


async def post(target: Target, row: Claimed) -> httpx2.Response:
    url = httpx2.URL(target.url.get_secret_value())
    port = url.port or (443 if url.scheme == "https" else 80)
    address = await address_of(url.host, port, allow_private=target.allow_private)
    body, timestamp = row.body.encode(), str(int(now().timestamp()))
    headers = {
        "host": url.netloc.decode(),
        "content-type": "application/json",
        "user-agent": "webhooks",
        "webhook-id": row.message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signatures(target.keys, row.message_id, timestamp, body),
    }
    # To the address that was looked at. Its certificate has to be that of the host's name.
    request = httpx2.Request(
        "POST",
        url.copy_with(host=address),
        content=body,
        headers=headers,
        extensions={
            "sni_hostname": url.host,
            "timeout": httpx2.Timeout(target.timeout).as_dict(),
        },
    )
    # A proxy of the environment would look the name up again.
    async with httpx2.AsyncClient(verify=certificates(), trust_env=False) as client:
        response = await client.send(request, stream=True, follow_redirects=False)
        await response.aclose()
        return response


@cache
def certificates() -> ssl.SSLContext:
    return ssl.create_default_context()


def judge(response: httpx2.Response) -> None:
    """Raises when it was not taken."""
    if response.is_success:
        return
    what = f"The receiver answered {response.status_code}."
    if response.status_code == GONE:
        raise GiveUpError(what)
    after = wait_of(response.headers.get("retry-after", ""))
    if after is not None:
        raise RetryError(what, after=after)
    raise DeliveryError(what)


def wait_of(retry_after: str) -> timedelta | None:
    """What Retry-After asks for, in seconds or as a date, within limits."""
    if retry_after.isascii() and retry_after.isdigit():
        wait = timedelta(seconds=min(int(retry_after[:9]), LONGEST_WAIT.total_seconds()))
    else:
        try:
            wait = parsedate_to_datetime(retry_after) - now()
        except (TypeError, ValueError):
            return None
    return max(timedelta(), min(wait, LONGEST_WAIT))


register(Kind(Delivery, deliver, name=lambda row: f"{row.target} {row.event_type}"))
