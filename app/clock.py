"""The clock. Each transaction reads it once and passes the time on as `now`; rules never read it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

# What background tasks are given: they date what they write when its transaction has begun (docs/decisions/0083).
ReadClock = Callable[[], datetime]


class Clock:
    """The current time in UTC, plus the seconds in the file `test_clock` (BATON_TEST_CLOCK) where it is set."""

    def __init__(self, test_clock: Path | None = None) -> None:
        self.test_clock = test_clock

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset()

    def offset(self) -> timedelta:
        if self.test_clock is None:
            return timedelta()
        try:
            return timedelta(seconds=float(self.test_clock.read_text().strip() or 0))
        except (OSError, ValueError):
            return timedelta()
