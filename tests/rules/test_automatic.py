"""When the policy moves a journey by itself: after a correction, by time alone, and below the threshold."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lifecycle.answer import Move
from app.lifecycle.automatic import evaluate
from app.lifecycle.decide import decide
from app.lifecycle.effects import facts_after
from app.policy.facts import Activity, Ask, Facts
from app.scoring.score import scored
from tests.rules.make import MANAGER, NOON, PERSONA, PIPELINE, POLICIES, activity, altered
from tests.rules.strategies import facts_of

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
READY = Facts(fields=PERSONA, stage="inquiry", contactable=True, activities=(activity("demo_request", 3),))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("stage", ["suspect", "inquiry", "mql", "sal", "sql"])
@pytest.mark.parametrize("target", ["suspect", "inquiry"])
def test_a_corrected_journey_stays_where_it_was_put(policy: Any, stage: str, target: str) -> None:
    if stage == target:
        return
    facts = scored(policy, replace(READY, stage=stage, last_occurred_at=NOON - DAY), NOON)
    ask = Ask("correct", MANAGER, to=target, reason_code="mistake", note="why", correction_of="trn_1")
    decision = decide(policy, facts, ask, NOON)
    assert isinstance(decision, Move)
    assert decision.corrects
    corrected = facts_after(facts, decision)
    for days in (0, 40, 400):
        assert evaluate(policy, corrected, NOON + days * DAY).steps == ()
        assert evaluate(policy, corrected, NOON + days * DAY, by_time=True).steps == ()


@given(facts=facts_of(), by_time=st.booleans())
def test_the_policy_moves_no_corrected_journey(facts: Facts, by_time: bool) -> None:
    answer = evaluate(PIPELINE, replace(facts, corrected=True), NOON, by_time=by_time)
    assert not any(isinstance(step, Move) for step in answer.steps)
    assert answer.facts.stage == facts.stage


def test_after_something_new_the_policy_moves_a_corrected_journey_again() -> None:
    answer = evaluate(PIPELINE, replace(READY, corrected=False), NOON)
    assert [step.action for step in answer.steps] == ["qualify"]
    assert evaluate(PIPELINE, replace(READY, corrected=True), NOON).steps == ()


def test_no_other_action_than_a_correction_is_one() -> None:
    for policy in POLICIES.values():
        assert {action.name for action in policy.actions if action.corrects} == {"correct"}


def instants(facts: Facts, until: datetime) -> list[tuple[datetime, str]]:
    """The moves that time alone makes until then, evaluated at each `evaluate_at`."""
    found: list[tuple[datetime, str]] = []
    at = evaluate(PIPELINE, facts, NOON).score.evaluate_at
    while at is not None and at <= until:
        answer = evaluate(PIPELINE, facts, at, by_time=True)
        facts = answer.facts
        found += [(step.occurred_at, step.to_stage) for step in answer.steps if isinstance(step, Move)]
        at = answer.score.evaluate_at
    return found


@pytest.mark.parametrize("ago", [0, 1, 10, 29, 29.5])
@pytest.mark.parametrize("newest", [0, 0.5, 3])
def test_a_move_that_time_made_true_occurs_when_it_became_true(ago: float, newest: float) -> None:
    seen = (activity("unsubscribe", ago), *(activity("case_study", newest + n / 100) for n in range(3)))
    facts = Facts(fields=PERSONA, stage="inquiry", activities=seen, last_occurred_at=NOON - 40 * DAY)
    assert evaluate(PIPELINE, facts, NOON).steps == ()
    decays = NOON - ago * DAY + 30 * DAY + TICK
    expected = [(decays, "mql")] if ago > newest + 0.02 else []  # else the points of the others decay first
    assert instants(facts, NOON + 31 * DAY) == expected


def test_a_move_that_time_made_true_is_never_before_the_previous_one() -> None:
    ahead = NOON + timedelta(minutes=4)
    (step,) = evaluate(PIPELINE, replace(READY, last_occurred_at=ahead), NOON, by_time=True).steps
    assert step.occurred_at == ahead


@pytest.mark.parametrize("last_days_ago", [None, 1, 3, 5])
def test_a_move_that_a_change_made_true_occurs_at_the_newest_activity(last_days_ago: float | None) -> None:
    last = None if last_days_ago is None else NOON - last_days_ago * DAY
    (step,) = evaluate(PIPELINE, replace(READY, last_occurred_at=last), NOON).steps
    assert step.occurred_at == max(NOON - 3 * DAY, last or NOON - 3 * DAY)


def test_without_an_activity_a_move_occurs_at_the_previous_one_or_now() -> None:
    anybody = altered(PIPELINE, lambda changed: changed["conditions"].update(mql={"fit": {"at_least": 40}}))
    facts = replace(READY, activities=())
    for last, expected in ((None, NOON), (NOON - DAY, NOON - DAY)):
        (step,) = evaluate(anybody, replace(facts, last_occurred_at=last), NOON).steps
        assert step.occurred_at == expected


STAGES = ["suspect", "inquiry", "mql", "sal", "srl", "sql", "recycled", "converted", "disqualified"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("met_before", [True, False])
@pytest.mark.parametrize("meets", [True, False])
def test_only_a_journey_that_met_the_threshold_can_be_below_it(stage: str, met_before: bool, meets: bool) -> None:
    seen: tuple[Activity, ...] = (activity("demo_request", 1),) if meets else ()
    facts = Facts(fields=PERSONA, stage=stage, activities=seen, threshold_met=met_before)
    blind = altered(PIPELINE, lambda changed: changed.update(automation=[{"do": "qualify", "if": NEVER}]))
    answer = evaluate(blind, facts, NOON)
    counted = stage in ("mql", "sal", "srl", "sql")
    assert answer.below_threshold == (counted and met_before and not meets)
    assert answer.facts.threshold_met == (met_before or (counted and meets))


NEVER = {"field": "company", "in": ["no company of this test"]}
