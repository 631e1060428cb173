"""What a run measured, and the arithmetic of percentiles, costs and ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. CPU is in microseconds per operation, of the service's process tree and of PostgreSQL."""

    count: int
    seconds: float
    p50_ms: float | None
    p99_ms: float | None
    app_us: float
    pg_us: float
    peak_mib: float | None = None

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.count / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU of the service and PostgreSQL together."""
        return self.app_us + self.pg_us


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table. `target` is its text, `met` whether it was reached (None: there is no target)."""

    path: str
    what: str
    run: Run | None = None
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def per_operation_us(seconds: float, count: int) -> float:
    """Seconds of CPU as microseconds for each operation."""
    return seconds * 1e6 / count if count else 0.0


def ratio_of(one: float, other: float) -> float:
    """`one` divided by `other`; infinity if `other` is 0."""
    return one / other if other else float("inf")
