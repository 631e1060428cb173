"""Writes plain values as JSON, for columns of the database and for answers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson


def write_json(value: Any) -> bytes:
    """Minified JSON of plain values; ids as text, decimals as text, instants as RFC 3339 with Z."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID | Decimal):  # the driver's own UUID type is a subclass
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
