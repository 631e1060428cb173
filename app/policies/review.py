"""When the review of an active policy is due. No I/O."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime
from typing import Final

MONTHS: Final = {"monthly": 1, "quarterly": 3}


def next_review(review: str, activated_at: datetime, after: datetime) -> datetime | None:
    """The first review after an instant, whole months or quarters after the activation; None if there are no reviews.

    A policy activated on the 31st is reviewed on the last day of a shorter month.
    """
    step = MONTHS.get(review)
    if step is None:
        return None
    passed = (after.year - activated_at.year) * 12 + after.month - activated_at.month
    months = max(step, passed // step * step)
    while (due := _months_later(activated_at, months)) <= after:
        months += step
    return due


def _months_later(at: datetime, months: int) -> datetime:
    years, month = divmod(at.month - 1 + months, 12)
    year, month = at.year + years, month + 1
    return at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))
