"""Which addresses a delivery may go to: whoever names a target must not reach what is inside."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
# Networks of IPv6 whose addresses stand for one of IPv4.
NAT64 = ip_network("64:ff9b::/96")


class PrivateAddressError(Exception):
    pass


def is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


async def address_of(host: str, port: int, *, allow_private: bool) -> str:
    """Where to connect to. Looked up once, so that nothing else is there a moment later.

    Raises OSError when there is none, and PrivateAddressError when one of them is not public.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An address of a link has its interface behind it.
    addresses = [str(place[0]) for *_, place in found]
    bare = [ip_address(address.partition("%")[0]) for address in addresses]
    if not allow_private and not all(is_public(address) for address in bare):
        raise PrivateAddressError(
            "Its address is not public: set allow_private for this target if that is meant."
        )
    return addresses[0]
