"""Standard Webhooks: https://www.standardwebhooks.com (Svix, OpenAI, Resend and others)

`webhook-id`, `webhook-timestamp`, and `webhook-signature: v1,BASE64 v1,BASE64`: each v1 is the
HMAC-SHA256 of id, timestamp and raw body with dots between them. Svix says svix- for webhook-.
"""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from app.standard_webhooks import key_of, signature_of
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


def verify(delivery: Delivery, secrets: Sequence[str], *, at: float, tolerance: int) -> Identity:
    """Raises BadSignatureError."""
    event_id = header(delivery, "webhook-id", "svix-id")
    timestamp = header(delivery, "webhook-timestamp", "svix-timestamp")
    pairs = [
        one.partition(",")
        for one in header(delivery, "webhook-signature", "svix-signature").split()
    ]
    given = [value.encode() for version, _, value in pairs if version == "v1"]
    if not given:
        raise BadSignatureError("There is no signature v1 in the header.")
    check_time(timestamp, at=at, tolerance=tolerance)
    expected = [signature_of(key, event_id, timestamp, delivery.body) for key in secrets]
    check_any(given, [one.encode() for one in expected])
    event_type = field_of(json_of(delivery.body), "type")
    return identity(event_id, event_type, otherwise=event_id.encode("latin-1"))


class StandardSource(SignedInTime):
    type: Literal["standard"]

    @model_validator(mode="after")
    def have_keys(self) -> Self:
        for secret in self.keys:
            try:
                usable = bool(key_of(secret))
            except ValueError:
                usable = False
            if not usable:
                raise ValueError(
                    "has a secret that is not whsec_ and base64: copy it once more, whole"
                )
        return self

    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        return verify(delivery, self.keys, at=at, tolerance=self.tolerance)

    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        body = json_body(event_type or "sample.created", event_id)
        signature = signature_of(self.keys[0], event_id, str(int(at)), body)
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": f"v1,{signature}",
        }
        return Delivery(body, headers, url)
