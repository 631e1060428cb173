"""The address of the client of a request, as far as the proxies in front are trusted.

Each proxy appends the address that it was called from to a header. So the header is read from its end, and only as long
as a trusted proxy has written the entry; what the client itself has sent stands before that and counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from fastapi import Request

from app.settings import ForwardedHeader, Network, Settings

Address = IPv4Address | IPv6Address

MAX_PROXIES: Final = 20
PREFIX_V6: Final = 64  # one subscriber has all addresses of it
_FOR: Final = re.compile(r"(?:^|;)\s*for\s*=\s*(\"[^\"]*\"|[^;]*)", re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"\[([^\[\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


def client_address(
    peer: str | None, entries: Sequence[str], trusted: Sequence[Network], header: ForwardedHeader = "x-forwarded-for"
) -> Address | None:
    """The last address that no trusted proxy has, going from `peer` back through the entries of the header.

    `entries` are the values of all lines of the header, in their order. An entry that is no address ends the walk: then
    it is the address of the proxy that wrote it. None if `peer` is none, as on a socket of the file system.
    """
    found = read_address(peer or "")
    if found is None:
        return None
    named = [one for line in entries for one in line.split(",")]
    for entry in reversed(named[-MAX_PROXIES:]):
        if not _in(found, trusted):
            break
        before = read_address(_forwarded_for(entry) if header == "forwarded" else entry)
        if before is None:
            break
        found = before
    return found


def address_of(request: Request, settings: Settings) -> Address | None:
    """The address of the client of a request, by the trusted proxies of the settings."""
    peer = request.client.host if request.client else None
    entries = request.headers.getlist(settings.forwarded_header)
    return client_address(peer, entries, settings.trusted_proxies, settings.forwarded_header)


def client_key(address: Address) -> str:
    """What requests of one client are counted by: the address, of IPv6 its first 64 bits."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, PREFIX_V6), strict=False))


def read_address(text: str) -> Address | None:
    """An address as headers have it: in quotes or brackets, with a port or a zone; an embedded IPv4 one is that."""
    bare = text.strip().strip('"')
    if found := _WITH_PORT.fullmatch(bare):
        bare = found[1] or found[2] or ""
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _forwarded_for(entry: str) -> str:
    found = _FOR.search(entry)
    return found[1].strip() if found else ""


def _in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
