"""Windows, counts, sequences and re-confirmations at their limits: equal, one before and one after."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.facts import Activity, Facts
from tests.rules.make import NOON, activity, bant, unmet, uuid

TICK = timedelta(microseconds=1)
DAYS = st.integers(1, 400)
AROUND = pytest.mark.parametrize(("beyond", "true"), [(-TICK, True), (0 * TICK, True), (TICK, False)])


def seen_at(*instants: datetime) -> tuple[Activity, ...]:
    return tuple(replace(activity("a"), id=uuid(str(n)), occurred_at=at) for n, at in enumerate(instants))


@AROUND
@given(days=DAYS, count=st.integers(1, 4))
def test_the_oldest_activity_that_is_needed_may_be_as_old_as_the_window_and_not_older(
    beyond: timedelta, true: bool, days: int, count: int
) -> None:
    limit = NOON - timedelta(days=days)
    facts = Facts(activities=seen_at(limit - beyond, *[NOON] * (count - 1)))
    condition = {"activity": {"types": ["a"], "within_days": days, "min_count": count}}
    assert (unmet(condition, facts) == []) is true
    assert unmet({"activity": {**condition["activity"], "min_count": count + 1}}, facts)[0]["have"] == count - (
        not true
    )


@pytest.mark.parametrize(("after", "true"), [(-TICK, False), (0 * TICK, False), (TICK, True)])
def test_only_what_comes_after_the_baseline_counts_since_the_baseline(after: timedelta, true: bool) -> None:
    facts = Facts(activities=seen_at(NOON - timedelta(days=3) + after), baseline_at=NOON - timedelta(days=3))
    assert (unmet({"activity": {"types": ["a"], "since": "baseline"}}, facts) == []) is true


@AROUND
@given(days=DAYS)
def test_a_confirmation_may_be_as_old_as_the_condition_says_and_not_older(
    beyond: timedelta, true: bool, days: int
) -> None:
    (row,) = bant("need")
    facts = Facts(confirmations=(replace(row, recorded_at=NOON - timedelta(days=days) - beyond),))
    assert (unmet({"bant": {"min": 1, "within_days": days}}, facts) == []) is true


@AROUND
@given(days=DAYS)
def test_a_sequence_may_take_as_long_as_its_span_and_not_longer(beyond: timedelta, true: bool, days: int) -> None:
    start = NOON - timedelta(days=days) - beyond
    facts = Facts(activities=(replace(activity("a"), occurred_at=start), activity("b")))
    assert (unmet({"sequence": {"types": ["a", "b"], "within_days": days}}, facts) == []) is true


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=6),
    st.lists(st.sampled_from("abc"), min_size=2, max_size=4),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_a_sequence_is_found_if_and_only_if_some_choice_of_activities_is_one(
    seen: list[tuple[str, int]], types: list[str], span: int, order: object
) -> None:
    def is_one(chosen: tuple[tuple[str, int], ...]) -> bool:
        days = [day for _, day in chosen]
        return [name for name, _ in chosen] == types and days == sorted(days) and days[-1] - days[0] <= span

    rows = [replace(activity(name), occurred_at=NOON + timedelta(days=day)) for name, day in seen]
    order.shuffle(rows)  # type: ignore[attr-defined]
    found = unmet({"sequence": {"types": types, "within_days": span}}, Facts(activities=tuple(rows))) == []
    assert found is any(map(is_one, permutations(seen, len(types))))
