"""A token bucket: how many requests may still come, and when the next one may. Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MICROSECOND: Final = timedelta(microseconds=1)
MINUTE: Final = 60_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Bucket:
    """Holds at most `quota` tokens, one for each request, and fills from empty to full in `window`, a minute.

    A token is `window` units of `level`; each microsecond adds `quota` of them, so nothing is ever rounded.
    """

    quota: int
    level: int
    at: datetime
    window: int = MINUTE  # microseconds

    @classmethod
    def full(cls, quota: int, now: datetime, window: int = MINUTE) -> Bucket:
        return cls(quota, quota * window, now, window)

    def refilled(self, now: datetime) -> Bucket:
        """The bucket at this time; a clock that was set back adds nothing."""
        passed = max(0, (now - self.at) // MICROSECOND)
        level = min(self.quota * self.window, self.level + passed * self.quota)
        return Bucket(self.quota, level, now, self.window)

    @property
    def tokens(self) -> int:
        """How many requests may come at once."""
        return self.level // self.window

    def taken(self) -> Bucket:
        """The bucket without one token, which it must hold."""
        return Bucket(self.quota, self.level - self.window, self.at, self.window)

    @property
    def seconds_to_next(self) -> int:
        """Whole seconds after which there is a token."""
        return max(0, -(-(self.window - self.level) // (self.quota * 1_000_000)))
