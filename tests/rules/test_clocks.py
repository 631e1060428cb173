"""Runs of clocks: which state they have, which one is shown, and what was known of them when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lifecycle.answer import Move
from app.lifecycle.clocks import AFTER, Run, after_attempts, after_move, as_of, next_breach, overdue, shown
from app.policy.facts import Activity
from tests.rules.make import NOON, PIPELINE, SDR, WATERFALL, activity, uuid

DUE = NOON + timedelta(hours=4)


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def run(clock: str = "response", started: int = 0, **members: object) -> Run:
    values = {"due_at": minute(started + 240), **members}
    at = minute(started)
    return replace(Run(uuid(f"{clock}{started}"), uuid("journey"), clock, 240, at, at), **values)  # type: ignore[arg-type]


def move(action: str, to: str, **members: object) -> Move:
    return Move("mql", to, action, SDR, minute(60), **members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("met", "now", "state"),
    [
        (None, 0, "due"),
        (None, 240, "due"),
        (None, 240.00001, "breached"),
        (0, 10, "met"),
        (240, 300, "met"),
        (241, 300, "breached"),
        (241, 239, "due"),  # made after now, by a clock that is ahead of ours
    ],
)
def test_a_run_is_due_until_its_minutes_are_over_and_met_only_in_time(met: int | None, now: float, state: str) -> None:
    known = run(met_at=None if met is None else minute(met))
    assert known.state(NOON + timedelta(minutes=now)) == state


def test_it_is_overdue_from_the_instant_that_the_timer_is_set_to() -> None:
    known = run()
    wakes = next_breach([known])
    assert wakes == DUE + AFTER
    assert (overdue([known], DUE), overdue([known], wakes)) == ([], [known])
    ends: list[dict[str, Any]] = [{"met_at": minute(1)}, {"stopped_at": minute(1)}, {"breached_at": DUE}]
    for ended in ends:
        assert next_breach([run(**ended)]) is None
        assert overdue([run(**ended)], minute(999)) == []


def test_a_lead_shows_the_latest_clock_that_runs_else_the_latest_of_all_unless_that_was_stopped() -> None:
    met, stopped, running = run(met_at=minute(1)), run(started=1, stopped_at=minute(2)), run(started=2)
    assert shown([]) is None
    assert shown([met, stopped, running]) == running
    assert shown([running, run(started=3, met_at=minute(4))]) == running
    assert shown([met, stopped]) is None
    assert shown([stopped, run(started=3, met_at=minute(4))]) == run(started=3, met_at=minute(4))


@pytest.mark.parametrize(
    ("clock", "action", "to", "members", "state"),
    [
        ("ae_acceptance", "confirm", "sql", {}, "met"),
        ("ae_acceptance", "correct", "sql", {"milestones": (("sql", False),)}, "met"),
        ("ae_acceptance", "return", "sal", {"stops_clocks": ("ae_acceptance",)}, "stopped"),
        ("ae_acceptance", "convert", "converted", {"closes": True}, "running"),
        ("ae_acceptance", "convert", "converted", {"closes": True, "milestones": (("sql", False),)}, "met"),
        ("ae_acceptance", "disqualify", "disqualified", {"closes": True}, "stopped"),
        ("ae_acceptance", "merge_into", "merged", {"closes": True}, "stopped"),
        ("response", "convert", "converted", {"closes": True}, "stopped"),
        ("response", "accept", "sal", {"milestones": (("sal", False),)}, "running"),
        ("response", "accept", "sal", {"stops_clocks": ("response",)}, "stopped"),
        ("response", "recycle", "recycled", {"stops_clocks": ("all",)}, "stopped"),
        ("response", "hand_over", "srl", {"starts_clocks": ("ae_acceptance",)}, "running"),
        ("response", "qualify", "mql", {"starts_clocks": ("response",)}, "stopped"),
        ("gone", "accept", "sal", {}, "running"),  # the policy of today has no such clock
        ("gone", "change_policy", "sal", {}, "stopped"),  # the journey follows the policy of today from here on
        ("response", "change_policy", "sal", {}, "running"),
    ],
)
def test_a_move_meets_or_stops_a_clock_or_lets_it_run(
    clock: str, action: str, to: str, members: dict[str, object], state: str
) -> None:
    after = after_move(PIPELINE, run(clock), move(action, to, **members), minute(60), None)
    found = "met" if after.met_at else "stopped" if after.stopped_at else "running"
    assert found == state
    for ended in (run(clock, met_at=minute(1)), run(clock, stopped_at=minute(1))):
        assert after_move(PIPELINE, ended, move(action, to, **members), minute(60), None) == ended


def attempts(*minutes: int) -> list[Activity]:
    return [replace(activity("call", kind="contact_attempt"), occurred_at=minute(one)) for one in minutes]


@pytest.mark.parametrize(("ended", "made"), list(product([None, 100], [-1, 0, 50, 99, 150])))
def test_an_attempt_counts_from_the_start_of_a_run_until_its_end(ended: int | None, made: int) -> None:
    known = run(stopped_at=None if ended is None else minute(ended))
    counts = made >= 0 and (ended is None or made < ended)
    assert after_attempts(WATERFALL, known, attempts(made), minute(200)).met_at == (minute(made) if counts else None)
    assert after_attempts(WATERFALL, known, [activity("webinar")], minute(200)) == known


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), max_size=5), st.lists(st.integers(0, 900)))
def test_the_past_shows_what_was_known_then_in_whatever_order_attempts_are_recorded(
    made: list[tuple[int, int]], looked: list[int]
) -> None:
    """Each attempt is (when it was made, how much later it was recorded)."""
    recorded = sorted((at + later, at) for at, later in made)
    known, activities = run(), list[Activity]()
    seen = []
    for now in sorted({*looked, *(when for when, _ in recorded)}):
        activities += attempts(*(at for when, at in recorded if when == now))
        known = after_attempts(WATERFALL, known, activities, minute(now))
        seen.append((minute(now), known.state(minute(now))))
    first = min((at for _, at in recorded), default=None)
    assert known.met_at == (None if first is None else minute(first))
    for then, state in seen:
        assert [one.state(then) for one in as_of([known], then)] == [state]
