"""The sources of webhooks, as APP_WEBHOOK_SOURCES names them."""

from app.named_settings import MistakesError, named, read_as
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

Sources = dict[str, Source]


def sources_of(given: object) -> Sources:
    """From JSON, or what is in it already. Raises MistakesError."""
    return named(
        given,
        source_of,
        setting="APP_WEBHOOK_SOURCES",
        kind="source",
        example='{"stripe": {"type": "stripe", ...}}',
    )


def source_of(values: object) -> Source:
    """Raises MistakesError."""
    if isinstance(values, Source):
        return values
    kind = values.get("type") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in TYPES:
        raise MistakesError(f"its type must be one of those that are here: {', '.join(TYPES)}")
    return read_as(TYPES[kind], values)
