"""Which addresses a message may go to: whoever names a target must not reach what is inside."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
# What the internet routes; the rest of IPv6 is inside, or nowhere.
PUBLIC_IPV6 = ip_network("2000::/3")
# Stands for an address of IPv4.
NAT64 = ip_network("64:ff9b::/96")
# Inside to us: what Azure answers its machines from, and what only newer versions of Python know.
INSIDE = (
    ip_network("168.63.129.16/32"),
    ip_network("192.0.0.0/24"),
    ip_network("2002::/16"),
)


class PrivateAddressError(Exception):
    pass


def is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if inner := address.ipv4_mapped:
            return is_public(inner)
        if address in NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in PUBLIC_IPV6:
            return False
    if any(address in network for network in INSIDE):
        return False
    return address.is_global and not address.is_multicast


async def addresses_of(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Where to connect to, the best first. What is looked at here is what to connect to: asked once
    more, the name may lead elsewhere.

    Raises OSError when there is none, and PrivateAddressError when one of them is not public.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("There can be no such name.") from None
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    # An address of a link has its interface behind it.
    bare = [ip_address(address.partition("%")[0]) for address in addresses]
    if not allow_private and not all(is_public(address) for address in bare):
        raise PrivateAddressError(
            "Its address is not public: say allow_private for this target if that is meant."
        )
    return addresses
