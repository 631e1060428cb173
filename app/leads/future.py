"""Times in the future are refused; where something is recorded, apart from the difference of two clocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query

from app.errors import OutOfOrder, RequestInvalid
from app.lifecycle.guard import MAX_AHEAD
from app.web.fields import Instant, rfc3339
from app.web.transacted import Now


def check_not_future(times: Mapping[str, datetime | None], now: datetime) -> None:
    """Raises OutOfOrder, naming each field whose time is in the future."""
    ahead = [field for field, when in times.items() if when is not None and when > now + MAX_AHEAD]
    if ahead:
        errors = [{"field": field, "code": "out_of_order", "detail": "must not be in the future"} for field in ahead]
        raise OutOfOrder(
            f"{' and '.join(ahead)}: must not be in the future.", errors=errors, latest=rfc3339(now + MAX_AHEAD)
        )


async def _past_instant(
    now: Now,
    as_of: Annotated[
        Instant | None, Query(description="Answer as of this past instant, from what had been recorded by then.")
    ] = None,
) -> datetime | None:
    if as_of is not None and as_of > now:
        raise RequestInvalid.of(
            "as_of", "in_the_future", "give an instant that has passed, or leave it out to ask as of the present"
        )
    return None if as_of == now else as_of


# The query parameter `as_of`; None for the present. Raises RequestInvalid for an instant in the future.
AsOf = Annotated[datetime | None, Depends(_past_instant)]
