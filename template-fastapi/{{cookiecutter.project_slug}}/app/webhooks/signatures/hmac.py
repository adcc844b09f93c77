"""Any sender that puts an HMAC of the raw body into a header: GitHub, Shopify, lenders, your own.

There is no timestamp in it. What keeps an old delivery from being sent again is that its event is
known already, for longer than its payload is kept.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from app.webhooks.signatures.scheme import (
    Delivery,
    Identity,
    Source,
    check_hmac,
    field_of,
    hmac_of,
    identity,
    json_body,
    json_of,
)

Algorithm = Literal["sha256", "sha1", "sha512"]
Encoding = Literal["hex", "base64"]


def verify(
    delivery: Delivery,
    secrets: Sequence[str],
    *,
    name: str,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
    prefix: str = "",
    id_field: str = "",
    type_field: str = "",
    type_header: str = "",
) -> Identity:
    """Raises BadSignatureError."""
    check_hmac(delivery, secrets, name=name, algorithm=algorithm, encoding=encoding, prefix=prefix)
    event = json_of(delivery.body) if id_field or type_field else None
    event_type = field_of(event, type_field) or delivery.headers.get(type_header.lower(), "")
    return identity(field_of(event, id_field), event_type, otherwise=delivery.body)


class HmacSource(Source):
    type: Literal["hmac"]
    header: str = Field(default="X-Signature", pattern=r"^[A-Za-z0-9-]+$")
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = Field(default="", description="in front of the signature, such as sha256=")
    # Fields of the JSON body, such as data.id: of what is signed. Without: a hash of the body.
    id_field: str = ""
    type_field: str = ""
    # Not signed; good enough to choose a handler by, since the body decides which event it is.
    type_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")

    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        return verify(
            delivery,
            self.keys,
            name=self.header,
            algorithm=self.algorithm,
            encoding=self.encoding,
            prefix=self.prefix,
            id_field=self.id_field,
            type_field=self.type_field,
            type_header=self.type_header,
        )

    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        kind = event_type or "sample"
        body = json_body(kind, event_id, id_field=self.id_field, type_field=self.type_field)
        signature = hmac_of(self.keys[0], body, algorithm=self.algorithm, encoding=self.encoding)
        headers = {"content-type": "application/json", self.header: f"{self.prefix}{signature}"}
        if self.type_header:
            headers[self.type_header] = kind
        return Delivery(body, headers, url)
