from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def site_name() -> str:
    return settings.ENV.title


@register.simple_tag
def signup_open() -> bool:
    return settings.ENV.signup == "open"


@register.simple_tag
def has_providers() -> bool:
    return bool(settings.SOCIALACCOUNT_PROVIDERS)
