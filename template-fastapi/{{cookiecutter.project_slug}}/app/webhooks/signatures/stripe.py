"""Stripe: https://docs.stripe.com/webhooks/signature

`Stripe-Signature: t=TIMESTAMP,v1=HEX,v1=HEX`: each v1 is the HMAC-SHA256, keyed with the whole
secret, of the timestamp, a dot and the raw body. Several are there while a secret is rolled.
"""

import hmac
from collections.abc import Sequence
from typing import Literal

from app.webhooks.signatures.scheme import (
    BadSignatureError,
    Delivery,
    Identity,
    SignedInTime,
    check_any,
    check_time,
    field_of,
    header,
    identity,
    json_body,
    json_of,
)

HEADER = "Stripe-Signature"


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()


def verify(delivery: Delivery, secrets: Sequence[str], *, at: float, tolerance: int) -> Identity:
    """Raises BadSignatureError."""
    pairs = [pair.strip().partition("=") for pair in header(delivery, HEADER).split(",")]
    [timestamp] = [value for name, _, value in pairs if name == "t"][:1] or [""]
    given = [value.encode() for name, _, value in pairs if name == "v1"]
    if not given:
        raise BadSignatureError("There is no signature v1 in the header.")
    check_time(timestamp, at=at, tolerance=tolerance)
    check_any(given, [signature_of(key, timestamp, delivery.body).encode() for key in secrets])
    event = json_of(delivery.body)
    return identity(field_of(event, "id"), field_of(event, "type"), otherwise=delivery.body)


class StripeSource(SignedInTime):
    type: Literal["stripe"]

    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        return verify(delivery, self.keys, at=at, tolerance=self.tolerance)

    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        body = json_body(event_type or "payment_intent.succeeded", event_id)
        signature = signature_of(self.keys[0], str(int(at)), body)
        headers = {
            "content-type": "application/json",
            "stripe-signature": f"t={int(at)},v1={signature}",
        }
        return Delivery(body, headers, url)
