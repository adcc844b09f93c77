"""What requests are counted and named by: as few words as there are addresses in config/urls.py."""

from functools import cache

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def method_of(request: HttpRequest) -> str:
    """Callers may send any word; what is no method is "other"."""
    return request.method if request.method in METHODS else "other"


def route_of(request: HttpRequest) -> str:
    """The pattern of the address, such as /api/students/<pk>, or "unmatched"."""
    if request.resolver_match:
        return readable(request.resolver_match.route)
    # WhiteNoise answers these before any address is looked up.
    static = request.path_info.startswith(settings.STATIC_URL)
    return f"{settings.STATIC_URL}<path>" if static else "unmatched"


readable = cache(simplify_regex)
