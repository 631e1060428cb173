"""Figures and their arithmetic: what a run measured, and how it stands to its baseline."""

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
        """Operations in a second."""
        return self.count / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """Both together."""
        return self.app_us + self.pg_us


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table. `demand` says what is asked in words, `met` whether it is so; None asks for nothing."""

    path: str
    what: str
    run: Run | None = None
    ratio: str = ""
    demand: str = ""
    met: bool | None = None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of them does not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def per_operation_us(seconds: float, count: int) -> float:
    """Seconds of CPU as microseconds for each operation."""
    return seconds * 1e6 / count if count else 0.0


def times(one: float, other: float) -> float:
    """How many times `other` goes into `one`; infinity where other is nothing."""
    return one / other if other else float("inf")
