"""Which addresses are refused, row by row, and through every disguise of IPv6."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest

from app.webhooks.targets import BLOCKED, Network, Targets

STRICT = Targets()
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e"]
PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "224.0.0.1", "192.0.0.192"]


def disguises(hidden: str) -> list[IPv6Address]:
    number = int(IPv4Address(hidden))
    return [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | number),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | (number >> 16) << 64 | (number & 0xFFFF) << 40),
        IPv6Address(int(IPv6Address("2002::")) | number << 80),
        IPv6Address(int(IPv6Address("2001::")) | number << 64 | (0xFFFFFFFF ^ int(IPv4Address("8.8.8.8")))),
        IPv6Address(int(IPv6Address("2001::")) | 0x08080808 << 64 | (0xFFFFFFFF ^ number)),
    ]


@pytest.mark.parametrize("network", BLOCKED, ids=str)
def test_the_first_and_last_address_of_each_row_are_refused(network: Network) -> None:
    last = network[-1] if network.version == 4 else ip_address(int(network[-1]))
    assert STRICT.blocked(network[0])
    assert STRICT.blocked(last) or str(network) == "::/8"


@pytest.mark.parametrize("network", [row for row in BLOCKED if isinstance(row, IPv4Network)], ids=str)
def test_each_ipv4_row_is_refused_in_every_disguise(network: IPv4Network) -> None:
    assert all(STRICT.blocked(disguise) for disguise in disguises(str(network[1])))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert not STRICT.blocked(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::a9fe:a9fe",
        "::127.0.0.1",
        "192.0.0.192",
        "224.0.0.1",
        "fec0::1",
        "3fff::1",
        "5f00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::1",
        "::",
        "fe80::1%2",
    ],
)
def test_what_python_calls_global_or_hides_is_refused(address: str) -> None:
    assert STRICT.blocked(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC[:2])
def test_a_public_address_by_nat64_or_mapped_is_reachable(address: str) -> None:
    number = int(IPv4Address(address))
    assert not STRICT.blocked(IPv6Address(0xFFFF << 32 | number))
    assert not STRICT.blocked(IPv6Address(int(IPv6Address("64:ff9b::")) | number))


@pytest.mark.parametrize("address", PRIVATE)
def test_what_the_operator_opened_is_reachable_and_nothing_beside_it(address: str) -> None:
    opened = Targets(allowed=(ip_network(address),))
    assert not opened.blocked(ip_address(address))
    assert opened.inside(IPv6Address(f"::ffff:{address}"))
    assert all(opened.blocked(ip_address(other)) for other in PRIVATE if other != address)


def test_our_own_addresses_are_refused_unless_opened() -> None:
    mine = ipaddress.ip_address("93.184.216.34")
    assert Targets(own=frozenset({mine})).blocked(mine)
    assert Targets(own=frozenset({mine})).blocked(IPv6Address("::ffff:93.184.216.34"))
    assert not Targets(own=frozenset({mine}), allowed=(ip_network("93.184.216.34/32"),)).blocked(mine)
