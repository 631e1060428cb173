"""Which events a subscription accepts: by their types, and by the values of members of `data`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson


def accepts(types: Iterable[str], wanted: Mapping[str, Sequence[Any]], event_type: str, data: str) -> bool:
    """Whether one of the types is that of the event, and every member in `wanted` has one of its values."""
    if not any(_is_of(event_type, each) for each in types):
        return False
    members = orjson.loads(data) if wanted else {}
    return all(name in members and members[name] in allowed for name, allowed in wanted.items())


def _is_of(event_type: str, pattern: str) -> bool:
    return pattern in ("*", event_type) or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
