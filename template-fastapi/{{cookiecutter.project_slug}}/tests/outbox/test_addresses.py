from ipaddress import ip_address

import pytest

from app.outbox.addresses import PrivateAddressError, addresses_of, is_public
from tests.outbox.sending import resolve

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - nothing is bound to it
        "10.1.2.3",
        "100.64.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:a9fe:a9fe",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "2001:0:53aa:64c:0:fbff:f5ff:fffe",
        "2001:db8::1",
        "2002:a00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_inside_or_nowhere_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", [PUBLIC, "2606:2800:220:1::1", f"::ffff:{PUBLIC}", "64:ff9b::5db8:d822"]
)
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "::1"])
async def test_other_spellings_of_this_machine_are_no_way_in(host: str) -> None:
    with pytest.raises(PrivateAddressError):
        await addresses_of(host, 80, allow_private=False)


async def test_a_private_address_may_be_allowed() -> None:
    assert await addresses_of("127.0.0.1", 80, allow_private=True) == ["127.0.0.1"]


async def test_one_private_address_among_others_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, [PUBLIC, "fe80::1%eth0"], [PUBLIC, PUBLIC])

    with pytest.raises(PrivateAddressError):
        await addresses_of("both.example", 80, allow_private=False)
    assert await addresses_of("both.example", 80, allow_private=False) == [PUBLIC]


async def test_a_name_that_there_cannot_be_has_no_address() -> None:
    with pytest.raises(OSError, match=r"^There can be no such name\.$"):
        await addresses_of("a" * 64 + ".example", 80, allow_private=False)
