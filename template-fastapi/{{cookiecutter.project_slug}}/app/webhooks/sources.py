"""The sources of webhooks, as APP_WEBHOOK_SOURCES names them."""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

{% if "hmac" in cookiecutter.webhooks %}
from app.webhooks.signatures.hmac import HmacSource
{% endif %}
{% if "n8n" in cookiecutter.webhooks %}
from app.webhooks.signatures.n8n import N8nSource
{% endif %}
from app.webhooks.signatures.scheme import Source
{% if "standard" in cookiecutter.webhooks %}
from app.webhooks.signatures.standard import StandardSource
{% endif %}
{% if "stripe" in cookiecutter.webhooks %}
from app.webhooks.signatures.stripe import StripeSource
{% endif %}
{% if "twilio" in cookiecutter.webhooks %}
from app.webhooks.signatures.twilio import TwilioSource
{% endif %}

TYPES: dict[str, type[Source]] = {
{% if "stripe" in cookiecutter.webhooks %}
    "stripe": StripeSource,
{% endif %}
{% if "twilio" in cookiecutter.webhooks %}
    "twilio": TwilioSource,
{% endif %}
{% if "n8n" in cookiecutter.webhooks %}
    "n8n": N8nSource,
{% endif %}
{% if "standard" in cookiecutter.webhooks %}
    "standard": StandardSource,
{% endif %}
{% if "hmac" in cookiecutter.webhooks %}
    "hmac": HmacSource,
{% endif %}
}
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MOST_NAME = 64  # characters
# What may be repeated in a sentence: it does not look like a secret.
FIELD = re.compile(r"[a-z_]{1,24}")

Sources = dict[str, Source]


class MistakesError(ValueError):
    """A sentence for each mistake, none with a value in it: that could be a secret."""


def sources_of(given: object) -> Sources:
    """From JSON, or what is in it already. Raises MistakesError."""
    if isinstance(given, str):
        given = content_of(given)
    if not isinstance(given, dict):
        raise MistakesError('is no JSON object: write it like {"stripe": {"type": "stripe", ...}}')
    sources: Sources = {}
    mistakes: list[str] = []
    for number, (name, values) in enumerate(given.items(), 1):
        try:
            sources[name] = values if isinstance(values, Source) else source_of(values)
        except MistakesError as error:
            mistakes += [f"has a mistake in {label_of(number, name)}: {one}" for one in error.args]
        if not is_name(name):
            mistakes.append(
                f"has a name of source {number} that cannot stand in a URL: take small letters,"
                " digits and single hyphens, such as lender-a"
            )
    if mistakes:
        # The name of the setting is put in front of the first one.
        raise MistakesError("\nAPP_WEBHOOK_SOURCES ".join(mistakes))
    return sources


def content_of(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=without_repetitions)
    except json.JSONDecodeError as error:
        raise MistakesError(
            f"is no JSON (line {error.lineno}, column {error.colno}): in .env it stands between"
            " single quotes"
        ) from None


def without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON allows a name twice, and drops one."""
    if len(dict(pairs)) < len(pairs):
        raise MistakesError("has a name twice: only one of them would count")
    return dict(pairs)


def is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MOST_NAME and bool(NAME.fullmatch(name))


def label_of(number: int, name: object) -> str:
    return f"the source {name}" if is_name(name) else f"source {number}"


def source_of(values: object) -> Source:
    """Raises MistakesError."""
    kind = values.get("type") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in TYPES:
        raise MistakesError(f"its type must be one of those that are here: {', '.join(TYPES)}")
    try:
        return TYPES[kind].model_validate(values)
    except ValidationError as error:
        raise MistakesError(*mistakes_in(error, TYPES[kind])) from None


def mistakes_in(error: ValidationError, model: type[Source]) -> Iterator[str]:
    for one in error.errors(include_input=False, include_url=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "extra_forbidden":
            near = get_close_matches(name, model.model_fields, n=1)
            shown = f" {name}" if FIELD.fullmatch(name) else ""
            meant = f": did you mean {near[0]}?" if near else ""
            yield f"it has no field{shown}{meant}" if shown else f"it has an unknown field{meant}"
        elif one["type"] == "value_error":
            yield one["msg"].removeprefix("Value error, ")
        elif name == "secrets":
            yield 'secrets must be a list of texts, such as ["..."]'
        else:
            yield f"{name}: {one['msg'][0].lower()}{one['msg'][1:]}"
