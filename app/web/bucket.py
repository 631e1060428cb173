"""A token bucket: how many requests may still come, and when the next one may. Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MICROSECOND: Final = timedelta(microseconds=1)
MINUTE: Final = 60_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Bucket:
    """Holds at most `quota` tokens, one for each request, and fills from empty to full in a minute.

    A token is MINUTE units of `level`; each microsecond adds `quota` of them, so nothing is ever rounded.
    """

    quota: int
    level: int
    at: datetime

    @classmethod
    def full(cls, quota: int, now: datetime) -> Bucket:
        return cls(quota, quota * MINUTE, now)

    def refilled(self, now: datetime) -> Bucket:
        """The bucket at this time; a clock that was set back adds nothing."""
        passed = max(0, (now - self.at) // MICROSECOND)
        return Bucket(self.quota, min(self.quota * MINUTE, self.level + passed * self.quota), now)

    @property
    def tokens(self) -> int:
        """How many requests may come at once."""
        return self.level // MINUTE

    def taken(self) -> Bucket:
        """The bucket without one token, which it must hold."""
        return Bucket(self.quota, self.level - MINUTE, self.at)

    @property
    def seconds_to_next(self) -> int:
        """Whole seconds after which there is a token."""
        return max(0, -(-(MINUTE - self.level) // (self.quota * 1_000_000)))
