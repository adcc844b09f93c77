from ipaddress import ip_address

import pytest

from app.outbox.addresses import PrivateAddressError, address_of, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - nothing is bound to it
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:53aa:64c:0:fbff:f5ff:fffe",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ],
)
def test_what_is_inside_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "::1"])
async def test_other_spellings_of_this_machine_are_no_way_in(host: str) -> None:
    with pytest.raises(PrivateAddressError):
        await address_of(host, 80, allow_private=False)


async def test_a_private_address_may_be_allowed() -> None:
    assert await address_of("127.0.0.1", 80, allow_private=True) == "127.0.0.1"
