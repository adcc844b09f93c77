import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import pytest
from httpx2 import AsyncClient

from app.db import Database
from app.named_settings import MistakesError
from app.webhooks.signatures.scheme import BadSignatureError, Delivery, Identity
from app.webhooks.signatures.twilio import TwilioSource
from app.webhooks.sources import sources_of
from tests.webhooks.sending import NOW, SECRET, events

URL = "https://api.example.com/webhooks/twilio"
INBOUND = {"MessageSid": "SM1", "SmsStatus": "received", "From": "+15005550006", "Body": "a & ü"}


def signature(url: str, fields: dict[str, str], key: str = SECRET) -> str:
    """As https://www.twilio.com/docs/usage/security#validating-requests says."""
    text = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()).decode()


def signed(
    fields: dict[str, str] = INBOUND, *, url: str = URL, seen: str = URL, key: str = SECRET
) -> Delivery:
    """Signed for one URL, and seen at another by us."""
    return Delivery(
        urlencode(fields).encode(), {"x-twilio-signature": signature(url, fields, key)}, seen
    )


def source(**fields: Any) -> TwilioSource:
    return TwilioSource.model_validate({"type": "twilio", "secrets": [SECRET]} | fields)


def check(delivery: Delivery, **fields: Any) -> Identity:
    return source(**fields).verify(delivery, at=NOW)


def test_a_message_is_known_by_its_sid_and_status() -> None:
    assert check(signed()) == Identity("SM1:received", "message.received")
    delivered = {"MessageSid": "SM1", "MessageStatus": "delivered", "SmsStatus": "sent"}
    assert check(signed(delivered)) == Identity("SM1:delivered", "message.delivered")


def test_a_call_is_known_by_all_of_its_fields() -> None:
    first = check(signed({"CallSid": "CA1", "CallStatus": "in-progress", "Digits": "1"}))
    second = check(signed({"CallSid": "CA1", "CallStatus": "in-progress", "Digits": "2"}))

    assert first.type == second.type == "call.in-progress"
    assert first.id != second.id
    assert first.id.startswith("sha256:")
    turned = signed({"Digits": "1", "CallStatus": "in-progress", "CallSid": "CA1"})
    assert check(turned) == first


def test_other_products_say_what_happened_themselves() -> None:
    assert check(signed({"EventType": "onMessageAdded"})).type == "onMessageAdded"


def test_json_is_signed_by_its_hash_in_the_url() -> None:
    body = b'[{"type": "com.twilio.messaging"}]'
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"x-twilio-signature": signature(url, {})}

    assert check(Delivery(body, headers, url)).id == f"sha256:{hashlib.sha256(body).hexdigest()}"
    with pytest.raises(BadSignatureError, match="not the one that was signed"):
        check(Delivery(body + b" ", headers, url))


@pytest.mark.parametrize(
    ("signed_url", "seen"),
    [
        ("https://api.example.com:443/webhooks/twilio", URL),
        (URL, "https://api.example.com:443/webhooks/twilio"),
        (URL, "https://api.example.com:8443/webhooks/twilio"),
        ("https://[::1]/webhooks/twilio", "https://[::1]:8443/webhooks/twilio"),
        (f"{URL}?a=b&c=%20d", f"{URL}?a=b&c=%20d"),
    ],
)
def test_the_port_may_be_in_the_url_or_not(signed_url: str, seen: str) -> None:
    assert check(signed(url=signed_url, seen=seen)).id == "SM1:received"


def test_the_url_that_was_entered_at_twilio_may_be_set() -> None:
    inside = "http://web:8000/webhooks/twilio"
    assert check(signed(seen=inside), url=URL)
    assert check(signed(url=f"{URL}?a=b", seen=f"{inside}?a=b"), url=URL)
    with pytest.raises(BadSignatureError):
        check(signed(seen=inside))


@pytest.mark.parametrize("inside", ["http://web:8000/sms", "http://web:8000/sms?a=b&via=proxy"])
def test_a_url_that_was_entered_with_a_query_or_a_fragment_is_good_for_forms_and_json(
    inside: str,
) -> None:
    entered = f"{URL}?a=b#rc=5"
    assert check(signed(url=f"{URL}?a=b", seen=inside), url=entered)

    body = b"[]"
    added = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    seen = f"{inside}{'&' if '?' in inside else '?'}{added}"
    headers = {"x-twilio-signature": signature(f"{URL}?a=b&{added}", {})}
    assert check(Delivery(body, headers, seen), url=entered)
    headers = {"x-twilio-signature": signature(f"{URL}?{seen.partition('?')[2]}", {})}
    assert check(Delivery(body, headers, seen), url=f"{URL}#rc=5")


@pytest.mark.parametrize("kind", ["message.delivered", "call.completed", "onMessageAdded"])
def test_a_sample_has_the_type_that_was_asked_for(kind: str) -> None:
    assert check(source().sample(kind, "SM1", url=URL, at=NOW), url=URL).type == kind


def test_a_sample_is_signed_for_the_url_that_was_entered() -> None:
    sample = source(url=f"{URL}#rc=5").sample("", "SM1", url="http://web:8000/sms", at=NOW)

    assert check(sample, url=URL).id == "SM1:received"


@pytest.mark.parametrize("url", ["www.example.com/sms", "https://[/sms", "https:///sms"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(MistakesError, match="must be as entered at Twilio, such as https://"):
        sources_of({"sms": {"type": "twilio", "secrets": [SECRET], "url": url}})


def test_old_and_new_tokens_are_good_while_they_are_changed() -> None:
    assert check(signed(key="old"), secrets=[SECRET, "old"])


def test_a_field_that_is_there_twice_is_signed_once_for_each_value() -> None:
    fields = [("To", "b"), ("To", "a"), ("To", "a")]
    text = URL + "ToaTob"
    digest = hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).digest()
    headers = {"x-twilio-signature": base64.b64encode(digest).decode()}

    assert check(Delivery(urlencode(fields).encode(), headers, URL))


@pytest.mark.parametrize(
    "delivery",
    [
        signed(key="other"),
        signed(seen="http://api.example.com/webhooks/twilio"),
        signed(seen=f"{URL}?a=b"),
        Delivery(signed().body + b"&Extra=1", signed().headers, URL),
        Delivery(signed().body.replace(b"SM1", b"SM2"), signed().headers, URL),
        Delivery(signed().body, {}, URL),
        Delivery(signed().body, {"x-twilio-signature": "é"}, URL),
        Delivery(b"\xff\x00", signed().headers, URL),
        Delivery(signed().body, signed().headers, "https://[/webhooks/twilio"),
    ],
)
def test_what_is_forged_or_changed_is_refused(delivery: Delivery) -> None:
    with pytest.raises(BadSignatureError):
        check(delivery)


async def test_an_inbound_message_is_answered_with_empty_twiml(
    sender: AsyncClient, database: Database
) -> None:
    url = "http://test/webhooks/twilio"
    delivery = signed(url=url)
    headers = {**delivery.headers, "Content-Type": "application/x-www-form-urlencoded"}
    response = await sender.post(url, content=delivery.body, headers=headers)

    assert (response.status_code, response.text) == (200, "<Response/>")
    assert response.headers["content-type"] == "application/xml"
    [event] = await events(database)
    assert (event.event_id, event.event_type) == ("SM1:received", "message.received")
