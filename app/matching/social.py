"""Social handles: a network and a lower-case handle, from a URL or a bare @handle."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from app.matching.no_identity import is_no_handle
from app.matching.text import plain
from app.matching.words import entries

_TABLES: Final[dict[str, dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("networks.toml").read_text("utf-8"))
NETWORKS: Final = tuple(_TABLES)
_HOSTS: Final = {host: network for network, table in _TABLES.items() for host in entries(table["hosts"])}
_PROFILES: Final = {network: frozenset(entries(table.get("profiles", ""))) for network, table in _TABLES.items()}
_NUMBERED: Final = {network: frozenset(entries(table.get("numbered", ""))) for network, table in _TABLES.items()}
_WITHOUT_POINTS: Final = frozenset(name for name, table in _TABLES.items() if not table.get("has_points"))
_URL: Final = re.compile(
    r"^(?:https?://)?(?:[a-z0-9-]+\.)*?([a-z]+\.(?:com|me))(?:/([^?#]*))?(?:[?#].*)?$", re.IGNORECASE
)
_HANDLE: Final = re.compile(r"@?([\w.\-%]{2,100})")
_NUMBER: Final = re.compile(r"[0-9a-f]{1,3}")
_COMPANY_PATHS: Final = frozenset({"company", "school", "showcase", "pages", "groups"})


@dataclass(frozen=True, slots=True)
class Handle:
    """A profile on a social network. `person` is False for a company's page."""

    network: str
    handle: str
    person: bool = True


def read_handle(typed: str, network: str | None = None) -> Handle | None:
    """The profile of a URL, or of a bare handle when the network is known; None where it names nobody."""
    found = _read(typed, network) if typed else None
    return None if found is None or is_no_handle(found.network, found.handle) else found


def _read(typed: str, network: str | None) -> Handle | None:
    text = plain(typed).strip()[:300]
    url = _URL.match(text)
    if url and (found := _HOSTS.get(url.group(1).lower())):
        return _of_path(found, [part for part in (url.group(2) or "").split("/") if part])
    bare = _HANDLE.fullmatch(text)
    if bare and network in _WITHOUT_POINTS and "." in text:
        return None  # the web address of something else
    return Handle(network, bare.group(1).lower()) if network and bare and "/" not in text else None


def _of_path(network: str, parts: list[str]) -> Handle | None:
    if profiles := _PROFILES[network]:
        if len(parts) < 2 or parts[0].lower() not in _COMPANY_PATHS | profiles:
            return None
        kind, name, *rest = (part.lower() for part in parts)
        if kind in _NUMBERED[network]:
            name = "/".join([name, *takewhile(_NUMBER.fullmatch, rest)])
        return Handle(network, name, kind not in _COMPANY_PATHS)
    if not parts or not _HANDLE.fullmatch(parts[0]):
        return None
    if parts[0].lower() in _COMPANY_PATHS:
        return Handle(network, parts[1].lower(), False) if len(parts) > 1 else None
    return Handle(network, parts[0].lstrip("@").lower())
