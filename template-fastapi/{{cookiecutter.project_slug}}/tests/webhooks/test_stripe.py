import hashlib
import hmac

import pytest

from app.webhooks.signatures.scheme import BadSignatureError, Delivery, Identity
from app.webhooks.signatures.stripe import verify
from tests.webhooks.sending import NOW

KEY = "whsec_" + "ab12" * 8
BODY = b'{"id": "evt_1", "object": "event", "type": "invoice.paid"}'


def signed(body: bytes = BODY, *, at: float = NOW, keys: tuple[str, ...] = (KEY,)) -> Delivery:
    """As https://docs.stripe.com/webhooks#verify-manually says."""
    payload = f"{int(at)}.".encode() + body
    digests = [hmac.new(key.encode(), payload, hashlib.sha256).hexdigest() for key in keys]
    parts = [f"t={int(at)}", *(f"v1={digest}" for digest in digests), "v0=6ffbb59b"]
    return Delivery(body, {"stripe-signature": ",".join(parts)})


def check(delivery: Delivery, *keys: str) -> Identity:
    return verify(delivery, keys or (KEY,), at=NOW, tolerance=300)


@pytest.mark.parametrize("at", [NOW, NOW - 299, NOW + 299])
def test_what_stripe_signed_is_its_event(at: float) -> None:
    assert check(signed(at=at)) == Identity("evt_1", "invoice.paid")


def test_a_body_without_an_id_is_known_by_its_hash() -> None:
    assert check(signed(b"[]")).id == f"sha256:{hashlib.sha256(b'[]').hexdigest()}"


def test_old_and_new_secrets_are_good_while_they_are_changed() -> None:
    old, new = "old" + KEY, "new" + KEY

    assert check(signed(keys=(old, new)), new)
    assert check(signed(keys=(old, new)), old)
    assert check(signed(keys=(old,)), new, old)


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (signed(keys=("other",)), "does not match"),
        (Delivery(BODY.replace(b"1", b"2"), signed().headers), "does not match"),
        (Delivery(BODY.replace(b": ", b":"), signed().headers), "does not match"),
        (signed(at=NOW - 301), "not of the last 300 seconds"),
        (signed(at=NOW + 301), "not of the last 300 seconds"),
        (Delivery(BODY), "Stripe-Signature is missing"),
        (Delivery(BODY, {"stripe-signature": "t=1"}), "no signature v1"),
        (Delivery(BODY, {"stripe-signature": "v1=00"}), "no number"),
        (Delivery(BODY, {"stripe-signature": "t=²,v1=é"}), "no number"),
        (Delivery(BODY, {"stripe-signature": f"t={NOW:.0f},v1=é"}), "does not match"),
        (Delivery(BODY, {"stripe-signature": ",=,"}), "no signature v1"),
    ],
)
def test_what_is_forged_changed_or_of_another_time_is_refused(
    delivery: Delivery, reason: str
) -> None:
    with pytest.raises(BadSignatureError, match=reason):
        check(delivery)
