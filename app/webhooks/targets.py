"""Which addresses webhooks may be sent to: blocked networks, also when an IPv6 address embeds a blocked IPv4 one."""

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from app.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Not `is_global`: in Python 3.11 it is True for NAT64 of the metadata address, ::127.0.0.1, 224.0.0.1, fec0::1 …
BLOCKED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(row)
    for row in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/8",
        "100::/64",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)

V4_MAPPED = IPv6Network("::ffff:0:0/96")
V4_COMPATIBLE = IPv6Network("::/96")
NAT64 = IPv6Network("64:ff9b::/96")
NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True)
class Targets:
    """Allowed networks, the ports for all other addresses, and the service's own addresses, which are refused."""

    allowed: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({443, 8443})
    own: frozenset[Address] = frozenset()

    def in_allowed(self, address: Address) -> bool:
        """Whether the operator allows it, by BATON_ALLOWED_TARGETS."""
        return _in(address, self.allowed) or _all_in(embedded(address), self.allowed)

    def is_public(self, tls: bool, host: str, port: int | None) -> bool:
        """Whether it may have any address that is not blocked; another host only one that the operator allows."""
        return not self.missing(tls, host, port)

    def missing(self, tls: bool, host: str, port: int | None, scheme: str = "https") -> list[str]:
        """What a public host needs and this one has not, in sentences. They depend on no address that it resolves to.

        A host of one label (`https://hooks/`) is a name of the operator's own network.
        """
        ports = ", ".join(str(each) for each in sorted(self.ports))
        rules = (
            (tls, f"The URL must use TLS ({scheme}://)."),
            ("." in host, "The host must be a name with a dot."),
            (port in self.ports, f"Port {port} is not one that the operator allows: {ports} (BATON_ALLOWED_PORTS)."),
        )
        return [text for kept, text in rules if not kept]

    def blocked(self, address: Address) -> bool:
        """Whether webhooks may not be sent to it. Networks that the operator allows are never blocked."""
        if self.in_allowed(address):
            return False
        real = embedded(address) or (address,)
        return any(each in self.own or _in(each, BLOCKED) for each in real)


def targets_of(settings: Settings) -> Targets:
    """Targets by the settings. The address that the service listens on is refused, unless it listens on all."""
    host = address_of(settings.host)
    own = frozenset({host} if host and not host.is_unspecified else ())
    return Targets(settings.allowed_targets, frozenset(settings.allowed_ports), own)


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses embedded in an IPv6 address; all of them where the format is ambiguous."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    last, second = IPv4Address(number & 0xFFFFFFFF), IPv4Address(number >> 80 & 0xFFFFFFFF)
    if any(address in network for network in (V4_MAPPED, V4_COMPATIBLE, NAT64)):
        return (last,)
    if address in SIX_TO_FOUR:
        return (second,)
    if address in TEREDO:
        return (IPv4Address(number >> 64 & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF))
    if address in NAT64_LOCAL:
        # RFC 6052: around bits 64-71 for a /48 prefix, or in the last 32 bits for a /96 inside it.
        split = (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF
        return (last, IPv4Address(split))
    return ()


@functools.lru_cache(maxsize=10_000)
def address_of(host: str) -> Address | None:
    """The IP address if the host of a URL is a literal, else None."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _all_in(addresses: Sequence[Address], networks: tuple[Network, ...]) -> bool:
    return bool(addresses) and all(_in(address, networks) for address in addresses)
