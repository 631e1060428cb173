"""Times in the future are refused, apart from the difference of two clocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from app.errors import OutOfOrder
from app.lifecycle.guard import MAX_AHEAD
from app.web.fields import rfc3339


def check_not_future(times: Mapping[str, datetime | None], now: datetime) -> None:
    """Raises OutOfOrder, naming each field whose time is in the future."""
    ahead = [field for field, when in times.items() if when is not None and when > now + MAX_AHEAD]
    if ahead:
        errors = [{"field": field, "code": "out_of_order", "detail": "must not be in the future"} for field in ahead]
        raise OutOfOrder(
            f"{' and '.join(ahead)}: must not be in the future.", errors=errors, latest=rfc3339(now + MAX_AHEAD)
        )
