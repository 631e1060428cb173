"""The rate that a receiver allowed in its handshake: requests of a subscription are spread evenly over the minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """When the next request may be sent; `per_minute` None: at any time. `clock` is in seconds, and never goes back."""

    per_minute: float | None = None
    clock: Callable[[], float] = time.monotonic
    _next_at: float = 0.0

    def wait(self) -> float:
        """Seconds until a request may be sent; 0 when it may be now."""
        return 0.0 if self.per_minute is None else max(0.0, self._next_at - self.clock())

    def take(self) -> None:
        """Count a request that is sent now."""
        if self.per_minute is not None:
            self._next_at = max(self._next_at, self.clock()) + 60 / self.per_minute
