"""Serializes values as JSON, for JSONB columns and response bodies."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson

AS_TEXT: Final = (UUID, Decimal)  # the driver's own UUID type is a subclass


def write_json(value: Any) -> bytes:
    """Compact JSON; UUIDs and decimals become strings, instants RFC 3339 with Z."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: Any) -> Any:
    if isinstance(value, AS_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
