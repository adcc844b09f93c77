import base64
import hashlib
import hmac

import pytest

from app.webhooks.signatures.scheme import (
    BadSignatureError,
    Delivery,
    check_hmac,
    check_time,
    field_of,
    form_of,
    hash_of,
    header,
    identity,
    json_body,
    json_of,
)

BODY = b'{"id": 17}'


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_an_hmac_may_be_one_of_several(encoding: str) -> None:
    digest = hmac.new(b"new", BODY, hashlib.sha512).digest()
    good = digest.hex().upper() if encoding == "hex" else base64.b64encode(digest).decode()
    delivery = Delivery(BODY, {"x-signature": f"sha512=0000, sha512={good}"})
    scheme = {"name": "X-Signature", "algorithm": "sha512", "encoding": encoding}

    check_hmac(delivery, ["old", "new"], prefix="sha512=", **scheme)
    with pytest.raises(BadSignatureError, match="does not match"):
        check_hmac(delivery, ["old"], prefix="sha512=", **scheme)
    with pytest.raises(BadSignatureError, match="does not match"):
        check_hmac(delivery, [], prefix="sha512=", **scheme)


@pytest.mark.parametrize("timestamp", ["", "now", "1e3", "-1", "²", "9" * 13, "99", "301"])
def test_a_timestamp_is_a_number_near_the_time(timestamp: str) -> None:
    with pytest.raises(BadSignatureError, match=r"timestamp|seconds"):
        check_time(timestamp, at=200, tolerance=100)


def test_a_timestamp_within_its_tolerance_is_good() -> None:
    for timestamp in ("100", "200", "300"):
        check_time(timestamp, at=200, tolerance=100)


def test_the_first_header_that_is_there_counts() -> None:
    delivery = Delivery(b"", {"svix-id": "1", "webhook-id": ""})

    assert header(delivery, "Webhook-Id", "Svix-Id") == "1"
    with pytest.raises(BadSignatureError, match="X-Other is missing"):
        header(delivery, "X-Other")


def test_an_event_without_an_id_that_can_be_kept_is_known_by_a_hash() -> None:
    assert (identity(17, "paid", otherwise=BODY).id, identity("a", 2, otherwise=b"").type) == (
        "17",
        "2",
    )
    for unusable in (None, "", "a\n", "a" * 256, ["a"], 1.5):
        assert identity(unusable, None, otherwise=BODY).id == hash_of(BODY)
    assert identity("a", "x\n" * 500, otherwise=BODY).type == "x" * 200


def test_a_field_is_found_by_its_path() -> None:
    content = json_of(json_body("paid", "17", id_field="data.id", type_field="kind"))

    assert (field_of(content, "data.id"), field_of(content, "kind")) == ("17", "paid")
    for path in ("", "data.id.more", "other", "kind.x"):
        assert field_of(content, path) is None
    assert json_of(b"[" * 100_000) is None
    assert json_of(b"\xff") is None
    assert json_of(json_body("", "17", type_field=""))["id"] == "17"


def test_fields_of_a_form_keep_their_order_and_blanks() -> None:
    assert form_of(b"b=1&a=&b=%C3%A9") == [("b", "1"), ("a", ""), ("b", "é")]
