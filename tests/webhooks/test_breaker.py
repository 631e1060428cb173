"""The breaker of a subscription: when it opens and probes, how it starts again, how many requests it lets out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.breaker import MOST_REQUESTS, Breaker, Outage, Waits, is_slow, verdict
from app.webhooks.retry import Outcome

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMIT = 8
LEAD = UUID(int=1)
OK, FAILED, REFUSED = Outcome(204), Outcome(500), Outcome(422)
MIDDLE = 0.5  # a chance that varies nothing


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def noted(*outcomes: Outcome, breaker: Breaker | None = None, every: float = 1, limit: int = LIMIT) -> Breaker:
    breaker = breaker or Breaker()
    for n, outcome in enumerate(outcomes):
        breaker.note(outcome, LEAD, limit, after(n * every), MIDDLE)
    return breaker


def opened() -> Breaker:
    return noted(*[FAILED] * 5, every=0)


def half_open(limit: int = LIMIT) -> Breaker:
    breaker = opened()
    assert breaker.note_probe(OK, limit, NOON, MIDDLE)
    return breaker


@pytest.mark.parametrize(("failures", "state"), [(1, "closed"), (4, "closed"), (5, "open"), (9, "open")])
@pytest.mark.parametrize("failed", [FAILED, Outcome(None, "timeout"), Outcome(None, "connect_failed"), Outcome(429)])
def test_it_opens_at_the_fifth_failure_in_a_row(failures: int, state: str, failed: Outcome) -> None:
    assert noted(*[failed] * failures).state == state
    assert noted(*[failed] * 4, OK, *[failed] * min(failures, 4)).state == "closed"


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([FAILED, FAILED, FAILED, OK] * 2 + [FAILED], "closed"),  # 7 of 9
        ([OK] + [FAILED, FAILED, FAILED, OK] * 2 + [FAILED], "open"),  # 7 of 10
        ([OK, OK] + [FAILED, FAILED, FAILED, OK] * 2 + [FAILED], "closed"),  # 7 of 11
        ([FAILED, OK] * 50, "closed"),
    ],
)
def test_it_opens_when_70_percent_of_at_least_10_attempts_failed(outcomes: list[Outcome], state: str) -> None:
    assert noted(*outcomes).state == state


@pytest.mark.parametrize(("seconds", "state"), [(299, "open"), (300, "closed"), (301, "closed")])
def test_attempts_count_for_five_minutes(seconds: float, state: str) -> None:
    breaker = noted(*([FAILED, FAILED, FAILED, OK] * 2), OK, every=0)
    breaker.note(FAILED, LEAD, LIMIT, after(seconds), MIDDLE)
    assert breaker.state == state


@given(st.lists(st.sampled_from([OK, FAILED, REFUSED]), max_size=60))
def test_while_it_is_closed_no_five_failures_are_in_a_row_and_less_than_70_percent_failed(sent: list[Outcome]) -> None:
    breaker, counted = Breaker(), list[Outcome]()
    for outcome in sent:
        breaker.note(outcome, LEAD, LIMIT, NOON, MIDDLE)
        counted += [] if outcome is REFUSED else [outcome]
        failing = len(counted) >= 10 and counted.count(FAILED) * 100 >= len(counted) * 70
        expected = counted[-5:] == [FAILED] * 5 or (failing and outcome is FAILED)
        assert (breaker.state == "open") == expected
        if expected:
            return


@pytest.mark.parametrize("code", [301, 400, 401, 403, 404, 422, 451, 499])
@pytest.mark.parametrize(("leads", "state"), [(1, "closed"), (19, "closed"), (20, "open")])
def test_a_refusal_is_about_the_event_unless_20_leads_get_one(code: int, leads: int, state: str) -> None:
    breaker = Breaker()
    for n in range(60):
        breaker.note(Outcome(code), UUID(int=n % leads), LIMIT, NOON, MIDDLE)
    assert breaker.state == state


def test_one_lead_whose_event_is_taken_shows_that_not_every_lead_is_refused() -> None:
    breaker = Breaker()
    for n in range(19):
        breaker.note(REFUSED, UUID(int=n), LIMIT, NOON, MIDDLE)
    breaker.note(OK, LEAD, LIMIT, NOON, MIDDLE)
    breaker.note(REFUSED, UUID(int=99), LIMIT, NOON, MIDDLE)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("outcome", "judged", "slow"),
    [
        *((Outcome(code), "delivered", False) for code in (200, 204, 299)),
        *((Outcome(code), "refused", False) for code in (301, 400, 404, 407, 410, 422, 424, 426, 428, 430, 499)),
        *((Outcome(code), "failed", False) for code in (100, 199, 408, 409, 425, 429, 500, 501, 505, 599)),
        *((Outcome(code), "failed", True) for code in (502, 503, 504)),
        *((Outcome(None, error), "failed", True) for error in ("timeout", "connect_timeout")),
        *((Outcome(None, error), "failed", False) for error in ("connect_failed", "tls_handshake", "dns_failed")),
    ],
)
def test_what_an_outcome_says(outcome: Outcome, judged: str, slow: bool) -> None:
    assert (verdict(outcome), is_slow(outcome)) == (judged, slow)


def test_probes_come_after_30_seconds_and_then_twice_as_late_up_to_15_minutes() -> None:
    breaker, waits = opened(), list[float]()
    for _ in range(7):
        assert breaker.probe_at is not None
        waits.append((breaker.probe_at - NOON).total_seconds())
        assert not breaker.note_probe(FAILED, LIMIT, NOON, MIDDLE)
    assert waits == [30, 60, 120, 240, 480, 900, 900]


@given(chance=st.floats(0, 1, exclude_max=True))
def test_the_wait_for_a_probe_varies_by_20_percent(chance: float) -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.note(FAILED, LEAD, LIMIT, NOON, chance)
    assert breaker.probe_at is not None
    assert after(24) <= breaker.probe_at <= after(36)


@pytest.mark.parametrize("late", [OK, FAILED, REFUSED])
def test_what_was_in_flight_when_it_opened_does_not_change_it(late: Outcome) -> None:
    breaker = opened()
    before = breaker.outage
    noted(late, breaker=breaker)
    assert breaker.outage == before
    assert breaker.concurrency(LIMIT, NOON) == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 10, 64])
def test_after_a_probe_it_starts_with_one_request_and_doubles_every_ten_seconds(limit: int) -> None:
    breaker = half_open(limit)
    for seconds, expected in ((0, 1), (9, 1), (10, 2), (19, 2), (20, 4), (30, 8), (40, 16), (50, 32), (60, 64)):
        assert breaker.concurrency(limit, after(seconds)) == min(expected, limit)
        breaker.advance(limit, after(seconds))
        assert (breaker.state == "closed") == (expected >= limit)


def test_two_failures_before_anything_is_delivered_while_half_open_open_it_again_with_a_longer_wait() -> None:
    breaker = half_open()
    noted(FAILED, breaker=breaker, every=0)
    assert breaker.state == "half_open"
    noted(FAILED, breaker=breaker)
    assert (breaker.state, breaker.probe_at) == ("open", after(60))


@pytest.mark.parametrize("before", [(OK,), (FAILED, OK)])
def test_once_something_was_delivered_while_half_open_five_failures_in_a_row_open_it_again(
    before: tuple[Outcome, ...],
) -> None:
    breaker = half_open()
    noted(*before, *[FAILED] * 4, breaker=breaker, every=0)
    at_the_fourth = breaker.state
    noted(FAILED, breaker=breaker, every=0)
    assert (at_the_fourth, breaker.state) == ("half_open", "open")


def test_a_receiver_that_fails_every_third_time_gets_through_the_slow_start() -> None:
    breaker = half_open(8)
    for second in range(31):
        for outcome in (OK, FAILED, OK):
            breaker.note(outcome, LEAD, 8, after(second), MIDDLE)
        breaker.advance(8, after(second))
    assert breaker.state == "closed"


@pytest.mark.parametrize(("by", "back"), [(FAILED, True), (REFUSED, False)])
def test_a_refused_probe_shows_that_the_receiver_is_back_unless_refusals_opened_it(by: Outcome, back: bool) -> None:
    breaker = Breaker()
    for n in range(20):
        breaker.note(by, UUID(int=n), LIMIT, NOON, MIDDLE)
    assert breaker.note_probe(REFUSED, LIMIT, NOON, MIDDLE) is back


def test_slow_answers_halve_the_concurrency_and_each_success_adds_one_up_to_the_limit() -> None:
    breaker, slow, seen = Breaker(), Outcome(504), list[int]()
    for outcome in (slow, slow, OK, slow, OK, OK, OK, OK, OK, OK, OK, OK, OK):
        noted(outcome, breaker=breaker)
        seen.append(breaker.concurrency(LIMIT, NOON))
    assert seen == [4, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]


@given(
    limits=st.lists(st.integers(1, MOST_REQUESTS), min_size=1, max_size=40),
    outcomes=st.lists(st.sampled_from([OK, FAILED, REFUSED, Outcome(504), Outcome(None, "timeout")]), min_size=40),
)
def test_the_concurrency_is_from_one_to_the_limit_and_zero_while_open(
    limits: list[int], outcomes: list[Outcome]
) -> None:
    breaker = Breaker()
    for n, (limit, outcome) in enumerate(zip(limits, outcomes, strict=False)):
        breaker.note(outcome, LEAD, limit, after(n), MIDDLE)
        allowed = breaker.concurrency(limit, after(n))
        assert allowed == 0 if breaker.state == "open" else 1 <= allowed <= limit


@pytest.mark.parametrize(("hours", "given"), list(product([0.99, 1, 23.99, 24, 71.99, 72, 500], [0, 1, 2, 3])))
def test_warnings_are_given_once_after_1_24_and_72_hours(hours: float, given: int) -> None:
    breaker = opened()
    assert breaker.outage is not None
    breaker.outage = breaker.outage.model_copy(update={"warned": given})
    change, due = breaker.take_change(after(hours * 3600)), sum(hours >= each for each in (1, 24, 72))
    assert change is not None
    expected = timedelta(hours=(0, 1, 24, 72)[due]) if due > given else None
    assert change.warning == expected
    assert breaker.take_change(after(hours * 3600)) is None


@pytest.mark.parametrize("warned", [0, 1])
def test_a_recovery_is_told_where_a_warning_was(warned: int) -> None:
    breaker = opened()
    assert breaker.outage is not None
    breaker.outage = breaker.outage.model_copy(update={"warned": warned})
    breaker.note_probe(OK, LIMIT, NOON, MIDDLE)
    breaker.advance(LIMIT, after(30))
    change = breaker.take_change(after(30))
    assert change is not None
    assert change.outage is None
    assert (change.recovered is not None) == bool(warned)


def test_a_stored_outage_is_read_back_as_it_was() -> None:
    outage = half_open().outage
    assert outage is not None
    assert Outage.model_validate(outage.model_dump(mode="json")) == outage


@pytest.mark.parametrize("failures", [0, 1, 4])
def test_failures_in_a_row_are_stored_when_the_lane_is_released_and_go_on_counting(failures: int) -> None:
    breaker = noted(*[FAILED] * failures)
    assert breaker.take_change(NOON) is None
    change = breaker.take_change(NOON, release=True)
    assert (change is None) == (failures == 0)
    stored = change.stored if change else {}
    again = Breaker.of(stored, Waits())
    assert (again.state, again.in_a_row) == ("closed", failures)
    assert again.take_change(NOON, release=True) is None
    assert noted(*[FAILED] * (5 - failures), breaker=again).state == "open"


@pytest.mark.parametrize("before", [Breaker, opened, half_open])
def test_a_breaker_that_opens_because_too_much_waits_keeps_since_when_nothing_went_well(
    before: Callable[[], Breaker],
) -> None:
    breaker = before()
    since = breaker.outage.since if breaker.outage else after(60)
    breaker.hold_back(after(60), MIDDLE)
    assert breaker.outage is not None
    assert (breaker.state, breaker.outage.since) == ("open", since)
    assert breaker.outage.probe_at > after(60)
