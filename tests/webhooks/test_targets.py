"""Which addresses are blocked: each network, also embedded in IPv6 addresses."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest

from app.webhooks.targets import BLOCKED, Network, Targets, embedded

STRICT = Targets()
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e"]
PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "224.0.0.1", "192.0.0.192"]


def embeddings(ipv4: str) -> list[IPv6Address]:
    number = int(IPv4Address(ipv4))
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
def test_the_first_and_last_address_of_each_network_are_blocked(network: Network) -> None:
    last = network[-1] if network.version == 4 else ip_address(int(network[-1]))
    assert STRICT.blocked(network[0])
    assert STRICT.blocked(last) or str(network) == "::/8"


@pytest.mark.parametrize("network", [row for row in BLOCKED if isinstance(row, IPv4Network)], ids=str)
def test_each_ipv4_network_is_blocked_in_every_ipv6_embedding(network: IPv4Network) -> None:
    assert all(STRICT.blocked(address) for address in embeddings(str(network[1])))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("64:ff9b:1:c000:2:2100::", "192.0.2.33"),  # RFC 6052, section 2.4: a prefix of 48 bits
        ("64:ff9b:1:ffff:ff:ff00::", "255.255.255.255"),
        ("64:ff9b:1:a9fe:a9:fe00::", "169.254.169.254"),
        ("64:ff9b:1::c000:221", "192.0.2.33"),
        ("64:ff9b::c000:221", "192.0.2.33"),
        ("2002:c000:221::", "192.0.2.33"),
        ("::ffff:192.0.2.33", "192.0.2.33"),
    ],
)
def test_the_embedded_ipv4_address_is_found(address: str, expected: str) -> None:
    assert IPv4Address(expected) in embedded(IPv6Address(address))


@pytest.mark.parametrize("address", ["64:ff9b:2::a9fe:a9fe", "64:ff9a::a9fe:a9fe", "2003:a9fe:a9fe::", "2001:1::1"])
def test_an_address_beside_the_embedding_networks_embeds_nothing(address: str) -> None:
    assert embedded(IPv6Address(address)) == ()


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not_blocked(address: str) -> None:
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
def test_addresses_that_python_calls_global_and_embedded_ones_are_blocked(address: str) -> None:
    assert STRICT.blocked(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC[:2])
def test_a_public_address_embedded_by_nat64_or_mapping_is_not_blocked(address: str) -> None:
    number = int(IPv4Address(address))
    assert not STRICT.blocked(IPv6Address(0xFFFF << 32 | number))
    assert not STRICT.blocked(IPv6Address(int(IPv6Address("64:ff9b::")) | number))


@pytest.mark.parametrize("address", PRIVATE)
def test_an_allowed_network_is_not_blocked_and_all_others_still_are(address: str) -> None:
    allowed = Targets(allowed=(ip_network(address),))
    assert not allowed.blocked(ip_address(address))
    assert allowed.in_allowed(IPv6Address(f"::ffff:{address}"))
    assert all(allowed.blocked(ip_address(other)) for other in PRIVATE if other != address)


def test_the_services_own_addresses_are_blocked_unless_allowed() -> None:
    own = ipaddress.ip_address("93.184.216.34")
    assert Targets(own=frozenset({own})).blocked(own)
    assert Targets(own=frozenset({own})).blocked(IPv6Address("::ffff:93.184.216.34"))
    assert not Targets(own=frozenset({own}), allowed=(ip_network("93.184.216.34/32"),)).blocked(own)
