from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str:
    """Where a request comes from; only a trusted proxy says so, in the last address, which it added."""
    sent = request.headers.get("X-Forwarded-For", "") if settings.ENV.trusted_proxy else ""
    return sent.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR") or "unknown"


def network_of(address: str) -> str:
    """Who has one IPv6 address has 2^64 of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or f"{IPv6Address(int(parsed) >> 64 << 64)}/64")
    return str(parsed)
