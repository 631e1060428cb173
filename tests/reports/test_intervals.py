"""The intervals of rates and lifts hold what they promise: counted exactly, over all outcomes of small samples."""

from __future__ import annotations

from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports.intervals import ratio, wilson


# The examples of R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17,
# 1998, table I, method 3.
@pytest.mark.parametrize(
    ("counted", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_rate_is_wilsons(counted: int, of: int, low: float, high: float) -> None:
    assert tuple(round(one, 4) for one in wilson(counted, of)) == (low, high)


COUNTS = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(COUNTS, COUNTS)
def test_the_interval_of_a_lift_holds_it_and_turns_round_with_the_sides(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    low, high = ratio(*one, *other)
    assert low >= 0
    assert (high is None) == (other[0] == 0)
    if high is not None:
        lift = one[0] * other[1] / (one[1] * other[0])
        assert low <= lift * (1 + 1e-9)
        assert lift <= high * (1 + 1e-9)
    turned_low, turned_high = ratio(*other, *one)
    if turned_high is not None:
        assert low == pytest.approx(1 / turned_high)
    if high is not None:
        assert turned_low == pytest.approx(1 / high)


@pytest.mark.parametrize(("rate", "other"), [(0.5, 0.5), (0.2, 0.4), (0.6, 0.3), (0.1, 0.1), (0.9, 0.8)])
def test_the_interval_of_a_lift_holds_the_true_one_in_about_95_of_100_samples(rate: float, other: float) -> None:
    """Every outcome of two samples of 40, with its probability."""
    size, true = 40, rate / other

    def chance(counted: int, of: float) -> float:
        return comb(size, counted) * of**counted * (1 - of) ** (size - counted)

    held = 0.0
    for one, two in product(range(size + 1), repeat=2):
        low, high = ratio(one, size, two, size)
        if low <= true and (high is None or true <= high):
            held += chance(one, rate) * chance(two, other)
    assert 0.93 <= held <= 0.985
