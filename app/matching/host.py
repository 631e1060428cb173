"""Host names, in ASCII, as the name service takes them; and the hosts of web addresses."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import idna

MAX_HOST: Final = 253
MAX_URL: Final = 2_000
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_END: Final = re.compile(r"\.(?=(:\d*)?$)")
_AMBIGUOUS: Final = frozenset('\\ "<>`')  # browsers and this parser may read a URL with these differently


@lru_cache(maxsize=1024)
def host_name(typed: str) -> str | None:
    """The host name in lower-case ASCII; None for anything else, IP addresses in all their forms included.

    Labels have 1 to 63 letters, digits and inner hyphens, the whole at most 253; those of other scripts follow IDNA.
    A point at the end, which stands for the root of the name system, is left out: the host is the same.
    """
    if len(typed) > MAX_HOST + 1:
        return None
    try:
        name = typed.lower() if typed.isascii() else idna.encode(typed, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # IDNAError is one
        return None
    name = name.removesuffix(".")
    labels = name.split(".")
    is_number = labels[-1][:1].isdigit()  # an IPv4 address in one of its many forms: no top level begins with a digit
    return None if len(name) > MAX_HOST or is_number or not all(map(_is_label, labels)) else name


def _is_label(label: str) -> bool:
    if _LABEL.fullmatch(label) is None:
        return False
    try:
        return not label.startswith("xn--") or bool(idna.ulabel(label))
    except UnicodeError:
        return False


def is_host(typed: str) -> bool:
    """Whether it is a host name, or an IP address (IPv6 without brackets and zone)."""
    if host_name(typed) is not None:
        return True
    try:
        return "%" not in typed and bool(ip_address(typed))
    except ValueError:
        return False


def host_of_url(url: str) -> str | None:
    """Host, with the port if given, of an http(s) URL, as `same_origin` writes it.

    None for any URL that a browser might parse differently.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or not _AMBIGUOUS.isdisjoint(url):
        return None
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0  # raises ValueError for a port above 65535
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and "@" not in parts.netloc and has_port
    if not usable or not parts.hostname or not is_host(parts.hostname):
        return None
    return same_origin(parts.netloc)


def same_origin(origin: str) -> str:
    """A host or origin in the form in which two are compared: lower case, without a point at the end of the host."""
    return _END.sub("", origin.lower())
