"""When a delivery is retried: the schedule, its jitter, and Retry-After."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.retry import (
    LONGEST_WAIT,
    SCHEDULE,
    Disable,
    Done,
    GiveUp,
    Outcome,
    RetryAt,
    next_attempt,
    pause_until,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FAILED = Outcome(500)


def wait(outcome: Outcome, attempts: int = 1, jitter: float = 0.0, **more: tuple[float, ...]) -> timedelta:
    decided = next_attempt(outcome, attempts, NOON, jitter, **more)
    assert isinstance(decided, RetryAt)
    return decided.at - NOON


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_any_2xx_is_done(code: int) -> None:
    assert next_attempt(Outcome(code, "body_error"), 1, NOON, 0.5) == Done()


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        (Outcome(204), "delivered"),
        (Outcome(200, "body_error"), "delivered"),
        (Outcome(302, "redirect_refused"), "redirect_refused"),
        (Outcome(404), "4xx"),
        (Outcome(500), "5xx"),
        (Outcome(None, "timeout"), "timeout"),
    ],
)
def test_only_a_2xx_is_counted_as_delivered(outcome: Outcome, label: str) -> None:
    assert outcome.label == label


@pytest.mark.parametrize("code", [100, 199, 300, 304, 399])
def test_a_status_just_outside_2xx_is_no_acknowledgement(code: int) -> None:
    assert isinstance(next_attempt(Outcome(code), 1, NOON, 0.5), RetryAt)


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 0.5), (0.25, 0.625), (0.5, 0.75)])
def test_the_jitter_is_the_share_of_the_second_half_that_is_waited(jitter: float, part: float) -> None:
    assert wait(FAILED, 2, jitter) == timedelta(seconds=SCHEDULE[2] * part)


def test_the_schedule_has_ten_attempts_over_75_hours_and_a_half() -> None:
    assert len(SCHEDULE) == 10
    assert sum(SCHEDULE) == pytest.approx(75.6 * 3600, rel=0.001)


@pytest.mark.parametrize("attempts", range(1, 10))
@given(jitter=st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_half_and_all_of_the_scheduled_wait(attempts: int, jitter: float) -> None:
    whole = timedelta(seconds=SCHEDULE[attempts])
    assert whole / 2 <= wait(FAILED, attempts, jitter) <= whole


def test_after_the_last_attempt_the_delivery_is_dead_whatever_retry_after_says() -> None:
    assert next_attempt(FAILED, 10, NOON, 0.5) == GiveUp()
    assert next_attempt(Outcome(503, retry_after="60"), 10, NOON, 0.5) == GiveUp()
    assert next_attempt(FAILED, 2, NOON, 0.5, (0, 1)) == GiveUp()


@pytest.mark.parametrize("attempts", [1, 9, 10])
def test_410_disables_the_subscription(attempts: int) -> None:
    assert next_attempt(Outcome(410), attempts, NOON, 0.5) == Disable()


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(None, "timeout"),
        Outcome(302, "redirect_refused"),
        Outcome(400),
        Outcome(404),
        Outcome(422),
        Outcome(500),
        Outcome(503),
    ],
)
def test_every_other_failure_is_retried(outcome: Outcome) -> None:
    assert wait(outcome) == timedelta(seconds=2.5)


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("120", timedelta(seconds=120)),
        (" 120 ", timedelta(seconds=120)),
        ("315360000", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        (format_datetime(NOON + timedelta(minutes=7), usegmt=True), timedelta(minutes=7)),
        (format_datetime(NOON + timedelta(days=3650), usegmt=True), LONGEST_WAIT),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
def test_429_and_503_with_retry_after_pause_the_subscription_for_up_to_a_day(
    code: int, header: str, asked: timedelta
) -> None:
    decided = next_attempt(Outcome(code, retry_after=header), 1, NOON, 0.5)
    assert decided == RetryAt(NOON + asked, wait_until=NOON + asked)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "-5",
        "soon",
        "1.5",
        "٣",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        format_datetime(NOON - timedelta(days=1), usegmt=True),
    ],
)
def test_an_invalid_retry_after_is_ignored(header: str | None) -> None:
    assert next_attempt(Outcome(429, retry_after=header), 2, NOON, 0.0) == RetryAt(NOON + timedelta(seconds=150))


@pytest.mark.parametrize(("code", "pauses"), [(429, True), (503, True), (500, False), (502, False), (404, False)])
def test_a_pause_is_asked_for_whatever_follows_for_the_delivery(code: int, pauses: bool) -> None:
    outcome = Outcome(code, retry_after="60")
    assert pause_until(outcome, NOON) == (NOON + timedelta(minutes=1) if pauses else None)
    assert pause_until(Outcome(code), NOON) is None


def test_retry_after_never_shortens_the_schedule_and_with_other_codes_delays_only_this_delivery() -> None:
    assert wait(Outcome(500, retry_after="1"), 3) == timedelta(minutes=15)
    assert next_attempt(Outcome(500, retry_after="60"), 1, NOON, 0) == RetryAt(NOON + timedelta(seconds=60))
