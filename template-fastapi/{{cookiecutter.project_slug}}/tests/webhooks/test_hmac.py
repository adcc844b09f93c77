import base64
import hashlib
import hmac
from typing import Any

import pytest

from app.webhooks.signatures.hmac import HmacSource
from app.webhooks.signatures.scheme import BadSignatureError, Delivery, Identity
from tests.webhooks.sending import NOW, SECRET

BODY = b'{"event": {"id": 17, "name": "loan.funded"}}'
HASH = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


def source(**fields: Any) -> HmacSource:
    return HmacSource.model_validate({"type": "hmac", "secrets": [SECRET]} | fields)


def digest(algorithm: str = "sha256", *, key: str = SECRET) -> bytes:
    return hmac.new(key.encode(), BODY, getattr(hashlib, algorithm)).digest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("prefix", ["", "sha=", "v1="])
def test_header_algorithm_encoding_and_prefix_are_as_configured(
    algorithm: str, prefix: str
) -> None:
    for encoding, text in (
        ("hex", digest(algorithm).hex()),
        ("hex", digest(algorithm).hex().upper()),
        ("base64", base64.b64encode(digest(algorithm)).decode()),
    ):
        delivery = Delivery(BODY, {"x-lender": f"{prefix}{text}"})
        lender = source(header="X-Lender", algorithm=algorithm, encoding=encoding, prefix=prefix)
        assert lender.verify(delivery, at=NOW) == Identity(HASH, "")


def test_id_and_type_are_fields_of_what_is_signed() -> None:
    delivery = Delivery(BODY, {"x-signature": digest().hex()})
    lender = source(id_field="event.id", type_field="event.name")
    assert lender.verify(delivery, at=NOW) == Identity("17", "loan.funded")

    for missing in ("event", "event.nothing", "event.id.deeper", "nothing"):
        assert source(id_field=missing).verify(delivery, at=NOW) == Identity(HASH, "")


def test_the_type_may_stand_in_a_header() -> None:
    delivery = Delivery(BODY, {"x-signature": digest().hex(), "x-github-event": "push"})
    assert source(type_header="X-GitHub-Event").verify(delivery, at=NOW).type == "push"


def test_a_type_that_is_not_signed_makes_no_other_event() -> None:
    shop = source(type_header="X-Shopify-Topic")
    signature = {"x-signature": digest().hex()}
    created, paid = (
        shop.verify(Delivery(BODY, signature | {"x-shopify-topic": topic}), at=NOW)
        for topic in ("orders/create", "orders/paid")
    )

    assert (created.type, paid.type) == ("orders/create", "orders/paid")
    assert created.id == paid.id


def test_old_and_new_secrets_are_good_while_they_are_changed() -> None:
    old = digest(key="old").hex()
    both = f"{old}, {digest().hex()}"

    assert source().verify(Delivery(BODY, {"x-signature": both}), at=NOW)
    lender = source(secrets=[SECRET, "old"])
    assert lender.verify(Delivery(BODY, {"x-signature": old}), at=NOW)


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(BODY, {"x-signature": digest(key="other").hex()}),
        Delivery(BODY, {"x-signature": digest("sha1").hex()}),
        Delivery(BODY, {"x-signature": digest().hex()[:-1]}),
        Delivery(BODY, {"x-signature": "é"}),
        Delivery(BODY.replace(b"17", b"18"), {"x-signature": digest().hex()}),
        Delivery(BODY.replace(b": ", b":"), {"x-signature": digest().hex()}),
        Delivery(BODY, {"x-other": digest().hex()}),
        Delivery(BODY, {"x-signature": ""}),
    ],
)
def test_what_is_forged_or_changed_is_refused(delivery: Delivery) -> None:
    with pytest.raises(BadSignatureError):
        source().verify(delivery, at=NOW)


def test_a_sample_has_id_and_type_where_they_belong() -> None:
    lender = source(id_field="event.id", type_field="event.name", type_header="X-Type")
    sample = lender.sample("loan.funded", "7", url="", at=NOW)
    headers = {name.lower(): value for name, value in sample.headers.items()}

    assert lender.verify(Delivery(sample.body, headers), at=NOW) == Identity("7", "loan.funded")
    assert headers["x-type"] == "loan.funded"
