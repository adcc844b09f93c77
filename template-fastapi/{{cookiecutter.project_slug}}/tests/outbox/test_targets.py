import json
from typing import Any

import pytest

from app.outbox.targets import targets_of
from tests.outbox.receiving import SECRETS

GOOD: dict[str, Any] = {"url": "https://n8n.example.com/hook", "secrets": SECRETS}


def test_targets_are_json() -> None:
    targets = targets_of(json.dumps({"n8n": GOOD}))

    assert targets["n8n"].keys == [b"\1" * 32, b"\2" * 32]
    assert not targets["n8n"].allow_private
    assert targets_of(targets) == targets
    assert "hook" not in repr(targets)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nonsense", "is no JSON object: in .env write it like"),
        ("[]", "is no JSON object"),
        ({"N 8 N": GOOD}, "has a name that is not of small letters, digits and single hyphens"),
        ({"n8n": {**GOOD, "url": "n8n.example.com"}}, "its url must be a web address"),
        ({"n8n": {**GOOD, "url": "file:///etc/passwd"}}, "its url must be a web address"),
        ({"n8n": {**GOOD, "url": "http://x:99999"}}, "its url must be a web address"),
        ({"n8n": {**GOOD, "secrets": []}}, "secrets: Tuple should have at least 1 item"),
        ({"n8n": {**GOOD, "secrets": ["swordfish"]}}, "a secret must be whsec_ and base64"),
        ({"n8n": {**GOOD, "secrets": ["whsec_YWJj"]}}, "a secret must be whsec_ and base64"),
        ({"n8n": {**GOOD, "secret": "swordfish"}}, "secret: Extra inputs are not permitted"),
        ({"n8n": "swordfish"}, "has a mistake in the target n8n"),
    ],
)
def test_a_mistake_is_one_sentence_without_the_value(given: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        targets_of(given)

    assert sentence in str(refused.value)
    assert "swordfish" not in str(refused.value)
    assert "\n" not in str(refused.value)
