"""What senders' own libraries sign is accepted by generated projects, and what they refuse is refused."""

import base64
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from standardwebhooks.webhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # it has no types

from proof.generate import ROOT

BODY = json.dumps({"id": "evt_1", "type": "invoice.paid", "data": {"name": "Zoë"}}, ensure_ascii=False)
OTHER_BODIES = [
    BODY.replace("evt_1", "evt_2"),
    json.dumps(json.loads(BODY)),  # the same, encoded anew
    json.dumps(json.loads(BODY), indent=2),
    BODY + "\n",
    "",
]
TOKEN = hashlib.md5(b"of nobody", usedforsecurity=False).hexdigest()
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
URL = "https://api.example.com/webhooks/sms"


@pytest.fixture(scope="module")
def schemes() -> Iterator[dict[str, ModuleType]]:
    """The modules of the template: they are plain Python, and need nothing of a project."""
    template = str(ROOT / "template-fastapi" / "{{cookiecutter.project_slug}}")
    sys.path.insert(0, template)
    names = ("scheme", "stripe", "twilio", "standard")
    yield {name: importlib.import_module(f"app.webhooks.signatures.{name}") for name in names}
    sys.path.remove(template)
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]


def outcome(
    schemes: dict[str, ModuleType], name: str, body: str, headers: dict[str, str], *rest: Any, **more: Any
) -> Any:
    """The event's id, or None when it is refused."""
    scheme = schemes["scheme"]
    delivery = scheme.Delivery(
        body.encode(), {key.lower(): value for key, value in headers.items()}, *more.pop("url", ())
    )
    try:
        return schemes[name].verify(delivery, *rest, **more).id
    except scheme.BadSignatureError:
        return None


def by_stripe(secret: str = SECRET, *, at: float | None = None) -> dict[str, str]:
    moment = int(time.time() if at is None else at)
    return {"Stripe-Signature": stripe.WebhookSignature.generate_signature_header(BODY, secret, moment)}


def stripe_accepts(body: str, headers: dict[str, str]) -> bool:
    try:
        stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
    except (stripe.SignatureVerificationError, ValueError):
        return False
    return True


def test_stripe_signs_what_we_accept(schemes: dict[str, ModuleType]) -> None:
    now = time.time()
    more = {"at": now, "tolerance": 300}
    rolled = {
        "Stripe-Signature": f"{by_stripe(OTHER)['Stripe-Signature']},{by_stripe()['Stripe-Signature'].split(',')[1]}"
    }
    for headers in (by_stripe(), rolled, by_stripe(at=now - 290)):
        assert stripe_accepts(BODY, headers)
        assert outcome(schemes, "stripe", BODY, headers, [SECRET], **more) == "evt_1"
    assert outcome(schemes, "stripe", BODY, by_stripe(OTHER), [SECRET, OTHER], **more) == "evt_1"


def test_stripe_refuses_what_we_refuse(schemes: dict[str, ModuleType]) -> None:
    now = time.time()
    cases = [(body, by_stripe()) for body in OTHER_BODIES]
    cases += [(BODY, by_stripe(OTHER)), (BODY, by_stripe(at=now - 310)), (BODY, {"Stripe-Signature": "t=1,v1=00"})]
    for body, headers in cases:
        assert not stripe_accepts(body, headers)
        assert outcome(schemes, "stripe", body, headers, [SECRET], at=now, tolerance=300) is None
    # What Stripe's library lets through: a signature that will be good for long.
    assert outcome(schemes, "stripe", BODY, by_stripe(at=now + 310), [SECRET], at=now, tolerance=300) is None


def by_standard(secret: str = SECRET, *, at: float | None = None) -> dict[str, str]:
    moment = datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": StandardWebhook(secret).sign("msg_1", moment, BODY),
    }


def standard_accepts(body: str, headers: dict[str, str]) -> bool:
    try:
        StandardWebhook(SECRET).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def test_standard_webhooks_sign_what_we_accept(schemes: dict[str, ModuleType]) -> None:
    now = time.time()
    more = {"at": now, "tolerance": 300}
    two = by_standard() | {
        "webhook-signature": f"{by_standard(OTHER)['webhook-signature']} {by_standard()['webhook-signature']}"
    }
    for headers in (by_standard(), two, by_standard(at=now - 290), by_standard(at=now + 290)):
        assert standard_accepts(BODY, headers)
        assert outcome(schemes, "standard", BODY, headers, [SECRET], **more) == "msg_1"
    assert outcome(schemes, "standard", BODY, by_standard(OTHER), [SECRET, OTHER], **more) == "msg_1"


def test_standard_webhooks_refuse_what_we_refuse(schemes: dict[str, ModuleType]) -> None:
    now = time.time()
    cases = [(body, by_standard()) for body in OTHER_BODIES]
    cases += [(BODY, headers) for headers in (by_standard(OTHER), by_standard(at=now - 310), by_standard(at=now + 310))]
    cases += [(BODY, by_standard() | {"webhook-id": "msg_2"})]
    cases += [(BODY, {key: value for key, value in by_standard().items() if key != left}) for left in by_standard()]
    for body, headers in cases:
        assert not standard_accepts(body, headers)
        assert outcome(schemes, "standard", body, headers, [SECRET], at=now, tolerance=300) is None


FORMS: list[dict[str, Any]] = [
    {"MessageSid": "SM1", "SmsStatus": "received", "Body": "Zoë & co + 100 %", "From": "+15005550006", "Empty": ""},
    {"MessageSid": "SM1", "MessageStatus": "delivered"},
    {"CallSid": "CA1", "CallStatus": "completed", "MediaUrl": ["b", "a", "a"]},
    {},
]
URLS = [URL, f"{URL}?a=b%20c&d", "https://api.example.com:443/webhooks/sms", "http://api.example.com:8000/webhooks/sms"]


def fields(form: dict[str, Any]) -> Any:
    """As a framework gives it to the library: with getlist for what is there several times."""

    class Form(dict[str, Any]):
        def getlist(self, name: str) -> list[str]:
            value = self[name]
            return value if isinstance(value, list) else [value]

    return Form(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("url", URLS)
def test_twilio_signs_what_we_accept_and_refuses_what_we_refuse(
    schemes: dict[str, ModuleType], form: dict[str, Any], url: str
) -> None:
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(url, fields(form))
    assert validator.validate(url, fields(form), signature)
    body = urlencode(form, doseq=True)

    def ours(body: str, signature: str, seen: str, *tokens: str) -> Any:
        headers = {"X-Twilio-Signature": signature}
        return outcome(schemes, "twilio", body, headers, tokens or [TOKEN], url=(seen,))

    assert ours(body, signature, url)
    assert ours(body, signature, url, "new", TOKEN)
    for other in (RequestValidator("other").compute_signature(url, fields(form)), signature[:-2], ""):
        assert not validator.validate(url, fields(form), other)
        assert ours(body, other, url) is None
    assert not validator.validate(url, fields({**form, "Extra": "1"}), signature)
    assert ours(f"{body}&Extra=1", signature, url) is None
    assert not validator.validate(f"{url}x", fields(form), signature)
    assert ours(body, signature, f"{url}x") is None


@pytest.mark.parametrize("signed", URLS)
@pytest.mark.parametrize("seen", URLS)
def test_twilio_and_we_agree_on_urls(schemes: dict[str, ModuleType], signed: str, seen: str) -> None:
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(signed, fields(FORMS[0]))
    ours = outcome(schemes, "twilio", urlencode(FORMS[0]), {"X-Twilio-Signature": signature}, [TOKEN], url=(seen,))
    assert (ours is not None) == validator.validate(seen, fields(FORMS[0]), signature)


def test_twilio_signs_json_by_its_hash(schemes: dict[str, ModuleType]) -> None:
    validator = RequestValidator(TOKEN)
    url = f"{URL}?bodySHA256={validator.compute_hash(BODY)}"
    headers = {"X-Twilio-Signature": validator.compute_signature(url, {})}
    assert validator.validate(url, BODY, headers["X-Twilio-Signature"])
    assert outcome(schemes, "twilio", BODY, headers, [TOKEN], url=(url,))
    for body in OTHER_BODIES:
        assert not validator.validate(url, body, headers["X-Twilio-Signature"])
        assert outcome(schemes, "twilio", body, headers, [TOKEN], url=(url,)) is None


@pytest.mark.parametrize("entered", [URL, f"{URL}?a=b%20c&d", f"{URL}#rc=5", f"{URL}?a=b#rc=5"])
@pytest.mark.parametrize("json_body", [True, False])
def test_the_url_of_a_source_is_good_for_what_twilio_sends_to_it(
    schemes: dict[str, ModuleType], entered: str, json_body: bool
) -> None:
    validator = RequestValidator(TOKEN)
    source = schemes["twilio"].TwilioSource(type="twilio", secrets=[TOKEN], url=entered)
    signed = entered.partition("#")[0]
    form: dict[str, Any] = {} if json_body else FORMS[0]
    if json_body:
        signed += f"{'&' if '?' in signed else '?'}bodySHA256={validator.compute_hash(BODY)}"
    headers = {"x-twilio-signature": validator.compute_signature(signed, fields(form))}
    assert validator.validate(signed, BODY if json_body else fields(form), headers["x-twilio-signature"])

    seen = signed.replace(URL, "http://web:8000/webhooks/sms")
    body = BODY if json_body else urlencode(form)
    delivery = schemes["scheme"].Delivery(body.encode(), headers, seen)
    assert source.verify(delivery, at=time.time())
    for other in (body + "x", body[1:]):
        changed = schemes["scheme"].Delivery(other.encode(), headers, seen)
        with pytest.raises(schemes["scheme"].BadSignatureError):
            source.verify(changed, at=time.time())


def test_twilio_signs_with_a_shared_key_what_we_refuse(schemes: dict[str, ModuleType]) -> None:
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(URL, fields(FORMS[0]), "HMAC_SHA256")
    headers = {
        "X-Twilio-Signature": signature,
        "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    assert validator.validate(URL, fields(FORMS[0]), signature, "HMAC_SHA256")
    assert outcome(schemes, "twilio", urlencode(FORMS[0]), headers, [TOKEN], url=(URL,)) is None


def test_samples_of_projects_are_accepted_by_the_libraries(schemes: dict[str, ModuleType]) -> None:
    now = time.time()
    source = schemes["stripe"].StripeSource(type="stripe", secrets=[SECRET])
    sample = source.sample("", "evt_1", url=URL, at=now)
    stripe.WebhookSignature.verify_header(sample.body.decode(), sample.headers["stripe-signature"], SECRET, 300)
    source = schemes["standard"].StandardSource(type="standard", secrets=[SECRET])
    sample = source.sample("", "msg_1", url=URL, at=now)
    assert StandardWebhook(SECRET).verify(sample.body, dict(sample.headers))
    source = schemes["twilio"].TwilioSource(type="twilio", secrets=[TOKEN])
    sample = source.sample("", "SM1", url=URL, at=now)
    form = {
        "MessageSid": "SM1",
        "SmsStatus": "received",
        "From": "+15005550006",
        "To": "+15005550001",
        "Body": "A sample",
    }
    assert RequestValidator(TOKEN).validate(URL, form, sample.headers["x-twilio-signature"])
