"""Twilio: https://www.twilio.com/docs/usage/security

`X-Twilio-Signature` is the HMAC-SHA1, in base64 and keyed with the auth token, of the URL as Twilio
was given it, and behind it each form field with its value, sorted by name. For JSON the URL has the
SHA-256 of the body in its query (bodySHA256), and nothing follows it.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import ClassVar, Literal
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from pydantic import field_validator

from app.webhooks.signatures.scheme import (
    Answer,
    BadSignatureError,
    Delivery,
    Identity,
    Source,
    check_any,
    form_of,
    header,
    identity,
)

HEADER = "X-Twilio-Signature"
PORTS = {"http": 80, "https": 443}


def signature_of(token: str, url: str, fields: Sequence[tuple[str, str]]) -> str:
    # Twilio leaves out a field that is there twice with the same value.
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), "sha1")).decode()


def spellings(url: SplitResult) -> list[str]:
    """Twilio has signed with and without the port."""
    bare = re.sub(r":\d*$", "", url.netloc)
    other = bare if bare != url.netloc else f"{bare}:{PORTS.get(url.scheme, '')}"
    return [url.geturl(), url._replace(netloc=other).geturl()]


def verify(delivery: Delivery, tokens: Sequence[str]) -> Identity:
    """Raises BadSignatureError."""
    given = header(delivery, HEADER).encode()
    try:
        url = urlsplit(delivery.url)
    except ValueError:
        raise BadSignatureError("The URL is none.") from None
    fields = form_of(delivery.body)
    if body_hashes := parse_qs(url.query).get("bodySHA256"):
        fields = []
        body_hash = hashlib.sha256(delivery.body).hexdigest()
        if not hmac.compare_digest(body_hashes[0].lower().encode(), body_hash.encode()):
            raise BadSignatureError("The body is not the one that was signed.")
    expected = [signature_of(key, one, fields) for key in tokens for one in spellings(url)]
    check_any([given], [one.encode() for one in expected])
    return identity_of(fields, delivery.body)


def identity_of(fields: Sequence[tuple[str, str]], body: bytes) -> Identity:
    """A message comes once in each state. A call does not: digits may be pressed several times
    while it is in progress, so that it is known by all of its fields."""
    values = dict(fields)
    sid = values.get("MessageSid") or values.get("SmsSid")
    status = values.get("MessageStatus") or values.get("SmsStatus")
    signed = urlencode(sorted(fields)).encode() or body
    if sid and status:
        return identity(f"{sid}:{status}", f"message.{status}", otherwise=signed)
    event_type = values.get("EventType", "")
    if call_status := values.get("CallStatus"):
        event_type = f"call.{call_status}"
    return identity(None, event_type, otherwise=signed)


class TwilioSource(Source):
    """Its secrets are auth tokens. `url` is what was entered at Twilio, where a proxy changes it."""

    # TwiML that does nothing: a text would be sent as a message.
    answer: ClassVar[Answer] = Answer("<Response/>", "application/xml")

    type: Literal["twilio"]
    url: str = ""

    @field_validator("url")
    @classmethod
    def be_a_web_address(cls, value: str) -> str:
        try:
            url = urlsplit(value)
        except ValueError:
            url = urlsplit("nowhere")
        if value and not (url.scheme in PORTS and url.netloc):
            raise ValueError(
                "its url must be as entered at Twilio, such as https://www.example.com/sms"
            )
        return value

    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        url = self._as_entered(delivery.url)
        return verify(Delivery(delivery.body, delivery.headers, url), self.keys)

    def _as_entered(self, seen: str) -> str:
        """Twilio adds bodySHA256 to the query that was entered, and signs nothing behind a #."""
        if not self.url:
            return seen
        entered, query = urlsplit(self.url), seen.partition("?")[2]
        if entered.query:
            hashes = parse_qs(query).get("bodySHA256", [])
            query = "&".join([entered.query, *(f"bodySHA256={one}" for one in hashes)])
        return entered._replace(query=query, fragment="").geturl()

    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        kind, _, status = (event_type or "message.received").partition(".")
        if kind == "message" and status:
            fields = [("MessageSid", event_id), ("SmsStatus", status), ("Body", "A sample")]
        elif kind == "call" and status:
            fields = [("CallSid", event_id), ("CallStatus", status)]
        else:
            fields = [("ConversationSid", event_id), ("EventType", event_type)]
        fields += [("From", "+15005550006"), ("To", "+15005550001")]
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": signature_of(self.keys[0], self._as_entered(url), fields),
        }
        return Delivery(urlencode(fields).encode(), headers, url)
