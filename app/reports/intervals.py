"""Intervals of 95 % around rates, and around the ratio of two of them. Pure.

A rate: Wilson's score interval (E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22, 1927). The ratio: from the Wilson bounds of both rates by the method of variance estimates recovery, MOVER-R
(A. Donner, G. Y. Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation",
Statistical Methods in Medical Research 21, 2012), which also holds where nothing was counted, as log intervals do not.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, Final

Z: Final = 1.959963984540054  # of the normal distribution, 97.5 % lies below
PLACES: Final = 4
# Those of a CSV for what `compared` tells.
COLUMNS: Final = ("interval_low", "interval_high", "lift", "lift_interval_low", "lift_interval_high")


def wilson(counted: int, of: int) -> tuple[float, float]:
    """The interval of the rate `counted` out of `of`, which is not 0."""
    rate, share = counted / of, Z * Z / of
    middle = (rate + share / 2) / (1 + share)
    half = Z / (1 + share) * sqrt(rate * (1 - rate) / of + share / (4 * of))
    low, high = (0.0 if counted == 0 else middle - half), (1.0 if counted == of else middle + half)
    return low, high


def ratio(counted: int, of: int, other_counted: int, other_of: int) -> tuple[float, float | None]:
    """The interval of the first rate divided by the second; the upper bound is None where the second may be 0."""
    rate, other = counted / of, other_counted / other_of
    (low, high), (other_low, other_high) = wilson(counted, of), wilson(other_counted, other_of)
    both = rate * other
    # The bounds are roots of a quadratic equation, written so that nothing is divided by a difference that may vanish.
    down = low * (2 * rate - low)
    root = both + sqrt(max(both * both - down * other_high * (2 * other - other_high), 0))
    up = other_low * (2 * other - other_low)
    upper = both + sqrt(max(both * both - high * (2 * rate - high) * up, 0))
    return (down / root if root else 0.0), (upper / up if up else None)


def compared(shown: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What a metric has beside its rate, compared with that of another metric: intervals, and the lift over it.

    `lift` is null where the other rate is 0, or one of both has no cases.
    """
    members: dict[str, Any] = {"interval": bounds(shown), "lift": None, "lift_interval": None}
    counts = (shown["numerator"], shown["denominator"], other["numerator"], other["denominator"])
    if not (counts[1] and counts[3]):
        return members
    low, high = ratio(*counts)
    lift = round(counts[0] * counts[3] / (counts[1] * counts[2]), PLACES) if counts[2] else None
    between = {"low": round(low, PLACES), "high": None if high is None else round(high, PLACES)}
    return {**members, "lift": lift, "lift_interval": between}


def bounds(shown: dict[str, Any]) -> dict[str, float] | None:
    """The interval of a metric's rate; None where it has no cases."""
    if not shown["denominator"]:
        return None
    low, high = wilson(shown["numerator"], shown["denominator"])
    return {"low": round(low, PLACES), "high": round(high, PLACES)}
