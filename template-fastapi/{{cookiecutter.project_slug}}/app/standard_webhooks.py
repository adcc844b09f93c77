"""Signatures of https://www.standardwebhooks.com: `v1,BASE64` is the HMAC-SHA256 of id, timestamp and
raw body with dots between them."""

import base64
import binascii
import hmac

PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """Raises ValueError when it is not in base64."""
    # Some show it with the version of the signatures in front.
    text = secret.removeprefix("v1,").removeprefix(PREFIX).rstrip("=")
    try:
        # Some leave the padding out.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("is not in base64") from None


def signature_of(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Without its `v1,`."""
    # As they come over the line: a header is text in Latin-1.
    signed = b".".join([message_id.encode("latin-1"), timestamp.encode("latin-1"), body])
    return base64.b64encode(hmac.digest(key_of(secret), signed, "sha256")).decode()
