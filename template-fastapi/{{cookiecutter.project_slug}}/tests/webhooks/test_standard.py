import base64
import hashlib
import hmac

import pytest

from app.named_settings import MistakesError
from app.webhooks.signatures.scheme import BadSignatureError, Delivery, Identity
from app.webhooks.signatures.standard import verify
from app.webhooks.sources import sources_of
from tests.webhooks.sending import NOW

KEY = b"k" * 32
BODY = b'{"type": "contact.created", "data": {"id": 1}}'


def secret(key: bytes = KEY) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def signed(
    body: bytes = BODY,
    *,
    at: float = NOW,
    keys: tuple[bytes, ...] = (KEY,),
    event_id: str = "msg_1",
    prefix: str = "webhook",
) -> Delivery:
    """As https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    says."""
    payload = f"{event_id}.{int(at)}.".encode() + body
    digests = [hmac.new(key, payload, hashlib.sha256).digest() for key in keys]
    signatures = [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]
    headers = {
        f"{prefix}-id": event_id,
        f"{prefix}-timestamp": str(int(at)),
        f"{prefix}-signature": " ".join(["v1a,asymmetric", *signatures]),
    }
    return Delivery(body, headers)


def without(name: str) -> Delivery:
    return Delivery(BODY, {key: value for key, value in signed().headers.items() if key != name})


def check(delivery: Delivery, *secrets: str) -> Identity:
    return verify(delivery, secrets or (secret(),), at=NOW, tolerance=300)


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
@pytest.mark.parametrize("at", [NOW, NOW - 299, NOW + 299])
def test_what_was_signed_is_its_event(at: float, prefix: str) -> None:
    assert check(signed(at=at, prefix=prefix)) == Identity("msg_1", "contact.created")


def test_a_secret_may_stand_without_its_prefix_or_with_a_version() -> None:
    assert check(signed(), secret().removeprefix("whsec_")).id == "msg_1"
    assert check(signed(), secret().rstrip("=")).id == "msg_1"
    assert check(signed(), f"v1,{secret()}").id == "msg_1"


def test_old_and_new_secrets_are_good_while_they_are_changed() -> None:
    assert check(signed(keys=(b"old", KEY)), secret())
    assert check(signed(keys=(b"old",)), secret(), secret(b"old"))


def test_an_id_that_cannot_be_kept_is_known_by_its_hash() -> None:
    assert check(signed(event_id="m" * 300)).id.startswith("sha256:")


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (signed(keys=(b"other",)), "does not match"),
        (Delivery(BODY.replace(b"1", b"2"), signed().headers), "does not match"),
        (Delivery(BODY.replace(b": ", b":"), signed().headers), "does not match"),
        (Delivery(BODY, {**signed().headers, "webhook-id": "msg_2"}), "does not match"),
        (Delivery(BODY, {**signed().headers, "webhook-signature": "v1,é"}), "does not match"),
        (Delivery(BODY, {**signed().headers, "webhook-signature": "v2,AA"}), "no signature v1"),
        (Delivery(BODY, {**signed().headers, "webhook-timestamp": "now"}), "no number"),
        (signed(at=NOW - 301), "not of the last 300 seconds"),
        (signed(at=NOW + 301), "not of the last 300 seconds"),
        (without("webhook-id"), "webhook-id is missing"),
        (without("webhook-timestamp"), "webhook-timestamp is missing"),
        (without("webhook-signature"), "webhook-signature is missing"),
    ],
)
def test_what_is_forged_changed_or_of_another_time_is_refused(
    delivery: Delivery, reason: str
) -> None:
    with pytest.raises(BadSignatureError, match=reason):
        check(delivery)


@pytest.mark.parametrize("wrong", ["whsec_", "whsec_not base64!", "whsec_a"])
def test_a_secret_that_was_not_copied_whole_is_refused(wrong: str) -> None:
    with pytest.raises(MistakesError, match="copy it once more, whole"):
        sources_of({"svix": {"type": "standard", "secrets": [wrong]}})
