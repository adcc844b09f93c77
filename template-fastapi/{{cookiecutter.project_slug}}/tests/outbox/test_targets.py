import json
from typing import Any

import pytest
from pydantic import ValidationError

from app.outbox.targets import targets_of
from app.settings import Settings, explain
from tests.outbox.sending import SECRETS

GOOD: dict[str, Any] = {"url": "https://n8n.example.com/hook", "secrets": SECRETS}


def refusal(targets: object) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, environment="development", outbox_targets=targets)
    lines = "\n".join(explain(refused.value)).splitlines()
    assert "swordfish" not in "".join(lines)
    assert all(line.startswith("APP_OUTBOX_TARGETS ") for line in lines)
    return [line.removeprefix("APP_OUTBOX_TARGETS ") for line in lines]


def test_targets_stand_in_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_OUTBOX_TARGETS", json.dumps({"n8n": GOOD}))
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    settings = Settings(_env_file=None)
    [target] = settings.outbox_targets.values()

    assert target.keys == SECRETS
    assert not target.allow_private
    assert targets_of(settings.outbox_targets) == settings.outbox_targets
    assert "n8n.example.com" not in repr(settings) + repr(settings.outbox_targets)


def test_one_secret_needs_no_list() -> None:
    [target] = targets_of({"n8n": {**GOOD, "secrets": SECRETS[0]}}).values()

    assert target.keys == SECRETS[:1]


def test_a_url_is_kept_as_it_goes_over_the_line() -> None:
    [target] = targets_of({"n8n": {**GOOD, "url": "https://müllers.example/ä b#c"}}).values()

    assert target.url.get_secret_value() == "https://xn--mllers-3ya.example/%C3%A4%20b#c"


@pytest.mark.parametrize("given", ["nonsense", "[]", '{"a": {}, "a": {}}'])
def test_what_is_no_json_object_is_refused(given: str) -> None:
    [sentence] = refusal(given)
    assert sentence.startswith(("is no JSON", "has a name twice"))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"url": "n8n.example.com"}, "its url must be a web address, such as https://"),
        ({"url": "file:///etc/passwd"}, "its url must be a web address"),
        ({"url": "http://x:99999"}, "its url must be a web address"),
        ({"url": "https://me:swordfish@x"}, "its url has a user or a password in it: headers"),
        ({"secrets": []}, "it has no secret to sign with"),
        ({"secrets": [""]}, "it has no secret to sign with"),
        ({"secrets": 7}, 'secrets must be a list of texts, such as ["..."]'),
        ({"secrets": ["swordfish"]}, "a secret must be whsec_ and the base64 of 24 bytes or more"),
        ({"secrets": ["whsec_YWJj"]}, "a secret must be whsec_ and the base64 of 24 bytes or"),
        ({"secret": "swordfish"}, "it has no field secret: did you mean secrets?"),
        ({"timeout": 0}, "timeout: input should be greater than 0"),
        ({"headers": {"X Y": "swordfish"}}, "one of its headers is none: take printable ASCII"),
        ({"headers": {"X": "swordfish\r\nY: 1"}}, "one of its headers is none: take printable"),
        ({"headers": {"X": " swordfish"}}, "one of its headers begins or ends with a space: take"),
        ({"headers": {"X": "swordfish "}}, "one of its headers begins or ends with a space: take"),
        ({"headers": {"X": "swordfish", "x": "1"}}, "one of its headers is there twice, in small"),
        ({"headers": {"Webhook-Id": "1"}}, "its header Webhook-Id is one that messages have"),
        ({"headers": {"host": "other"}}, "its header host is one that messages have already"),
    ],
)
def test_each_mistake_has_a_sentence(changed: dict[str, Any], sentence: str) -> None:
    [said] = refusal({"n8n": GOOD | changed})
    assert said.startswith(f"has a mistake in the target n8n: {sentence}")


def test_all_targets_are_looked_at() -> None:
    assert refusal({"N 8 N": GOOD, "shop": "swordfish", "other": {"secrets": SECRETS}}) == [
        "has a name of target 1 that is not of small letters, digits and single hyphens, such as"
        " lender-a",
        "has a mistake in the target shop: input should be a valid dictionary or instance of"
        " Target",
        "has a mistake in the target other: url: field required",
    ]
