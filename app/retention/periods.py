"""How long a tenant keeps what, as it has set it, and as it holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

DEFAULTS: Final[Mapping[str, int | None]] = {
    "raw_days": 90,
    "quarantined_days": None,
    "spam_days": None,
    "attempts_days": None,
    "unqualified_days": None,
    "audit_days": None,
}


def effective(periods: Mapping[str, int | None]) -> dict[str, int | None]:
    """The periods in days that hold: the default of what is not set. None: kept for good."""
    return {name: periods.get(name, default) for name, default in DEFAULTS.items()}


def over_at(days: int, now: datetime) -> datetime:
    """What is of this instant or earlier is removed: it was kept for so many days of 24 hours."""
    return now - timedelta(days=days)
