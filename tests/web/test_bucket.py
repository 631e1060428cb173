"""The token bucket: how many requests may come at once, when the next one may, and never more than the quota."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.bucket import Bucket

NOON = datetime(2026, 8, 17, 12, tzinfo=UTC)
QUOTAS = st.integers(1, 100_000_000)
STEPS = st.lists(st.integers(0, 90_000_000).map(lambda n: timedelta(microseconds=n)), max_size=30)


def emptied(quota: int) -> Bucket:
    bucket = Bucket.full(quota, NOON)
    for _ in range(quota):
        bucket = bucket.taken()
    return bucket


@pytest.mark.parametrize("quota", [1, 2, 3, 7, 60, 61, 1000])
def test_a_full_bucket_gives_its_quota_at_once_and_no_more(quota: int) -> None:
    bucket = Bucket.full(quota, NOON)
    for left in range(quota, 0, -1):
        assert bucket.tokens == left
        bucket = bucket.taken()
    assert bucket.tokens == 0


@pytest.mark.parametrize(
    ("quota", "microseconds", "tokens"),
    [
        (1, 59_999_999, 0),
        (1, 60_000_000, 1),
        (1, 600_000_000, 1),
        (60, 999_999, 0),
        (60, 1_000_000, 1),
        (60, 1_999_999, 1),
        (60, 2_000_000, 2),
        (60, 59_999_999, 59),
        (60, 60_000_000, 60),
        (60, 60_000_001, 60),
        (7, 8_571_428, 0),
        (7, 8_571_429, 1),
        (7, 60_000_000, 7),
        (100, 599_999, 0),
        (100, 600_000, 1),
    ],
)
def test_an_empty_bucket_fills_in_a_minute_evenly(quota: int, microseconds: int, tokens: int) -> None:
    assert emptied(quota).refilled(NOON + timedelta(microseconds=microseconds)).tokens == tokens


@pytest.mark.parametrize(
    ("quota", "microseconds", "seconds"),
    [
        (1, 0, 60),
        (1, 1, 60),
        (1, 59_000_000, 1),
        (1, 59_000_001, 1),
        (1, 60_000_000, 0),
        (2, 0, 30),
        (7, 0, 9),
        (60, 0, 1),
        (600, 0, 1),
    ],
)
def test_the_next_token_comes_after_so_many_whole_seconds(quota: int, microseconds: int, seconds: int) -> None:
    assert emptied(quota).refilled(NOON + timedelta(microseconds=microseconds)).seconds_to_next == seconds


@given(quota=st.integers(1, 5_000), spent=st.integers(1, 5_000), passed=st.integers(0, 60_000_000))
def test_after_the_told_seconds_there_is_a_token_and_a_second_earlier_there_is_none(
    quota: int, spent: int, passed: int
) -> None:
    bucket = Bucket.full(quota, NOON)
    for _ in range(min(spent, quota)):
        bucket = bucket.taken()
    bucket = bucket.refilled(NOON + timedelta(microseconds=passed))
    seconds = bucket.seconds_to_next
    assert (seconds == 0) == (bucket.tokens > 0)
    assert bucket.refilled(bucket.at + timedelta(seconds=seconds)).tokens >= 1
    if seconds:
        assert bucket.refilled(bucket.at + timedelta(seconds=seconds - 1)).tokens == 0


@given(quota=st.integers(1, 50), steps=STEPS)
def test_no_more_is_given_than_the_quota_and_what_flowed_in_since(quota: int, steps: list[timedelta]) -> None:
    bucket, given_out, now = Bucket.full(quota, NOON), 0, NOON
    for step in steps:
        now += step
        bucket = bucket.refilled(now)
        while bucket.tokens:
            bucket, given_out = bucket.taken(), given_out + 1
        flowed = (now - NOON) // timedelta(microseconds=1) * quota // 60_000_000
        assert given_out <= quota + flowed


@given(quota=QUOTAS, steps=STEPS)
def test_it_does_not_matter_how_often_a_bucket_is_looked_at(quota: int, steps: list[timedelta]) -> None:
    often = bucket = Bucket(quota, 0, NOON)
    now = NOON
    for step in steps:
        now += step
        often = often.refilled(now)
    assert often == bucket.refilled(now)


@given(quota=QUOTAS, back=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=999)))
def test_a_clock_that_is_set_back_adds_nothing_and_stops_nothing(quota: int, back: timedelta) -> None:
    bucket = Bucket(quota, 0, NOON).refilled(NOON - back)
    assert bucket.tokens == 0
    assert bucket.refilled(NOON - back + timedelta(minutes=1)).tokens == quota
