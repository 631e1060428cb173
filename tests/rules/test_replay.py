"""A replay finds the very instant that evaluations of the lead, at every instant as it went, would have found."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lifecycle.answer import Move
from app.lifecycle.automatic import evaluate
from app.lifecycle.replay import Known, Outcome, Past, Replay
from app.policy.document import Policy
from app.policy.facts import Activity, Facts
from tests.rules.make import NOON, PERSONA, PIPELINE, WATERFALL, altered, confirmation, uuid
from tests.rules.strategies import TYPES

START = NOON - timedelta(days=120)
CLERK: dict[str, object] = {"job_title": "clerk", "employees": 120, "industry": "software"}


def mql_when(condition: dict[str, Any], policy: Policy = WATERFALL) -> Policy:
    return altered(policy, lambda document: document["conditions"].update(mql=condition))


def webinar_costs(points: int) -> Policy:
    """Minus points of webinars decay, so that time alone can make the rule true."""

    def change(document: dict[str, Any]) -> None:
        for rule in document["scoring"]["engagement"]:
            rule["points"] = points if rule["id"] == "webinar" else rule["points"]

    return altered(WATERFALL, change)


FEW: dict[str, Any] = {"engagement": {"at_least": 15}}
POLICIES = {
    "waterfall": WATERFALL,
    "pipeline": PIPELINE,
    "minus points": webinar_costs(-30),
    "a cap": altered(
        WATERFALL, lambda document: document["scoring"].update(caps=[{"ledger": "engagement", "points": 35}])
    ),
    "not engagement": mql_when({"all": [{"fit": {"at_least": 40}}, {"not": FEW}, {"contactable": False}]}),
    "when engagement": mql_when({"when": FEW, "then": {"fit": {"at_least": 45}}}),
    "not lately": mql_when({"all": [FEW, {"not": {"activity": {"types": ["webinar"], "within_days": 30}}}]}),
    "a persona": altered(
        WATERFALL,
        lambda document: document.update(
            personas=[{"name": "heads", "title": "Heads", "if": {"field": "seniority", "in": ["director"]}}],
            conditions={**document["conditions"], "mql": {"all": [{"persona": ["heads"]}, FEW]}},
        ),
    ),
    "not a clerk": mql_when({"all": [{"not": {"field": "job_title", "is": "clerk"}}, FEW]}),
    "a field or interest": mql_when({"any": [{"field": "job_title", "present": True}, FEW]}),
    "fit or not": mql_when({"any": [{"all": [{"fit": {"at_least": 40}}, FEW]}, {"not": {"fit": {"at_least": 1}}}]}),
    "fit by activities": altered(
        mql_when({"fit": {"at_least": 20}}),
        lambda document: document["scoring"]["fit"][0].update({"if": {"activity": {"types": ["webinar"]}}}),
    ),
    "an effect by level": altered(
        WATERFALL,
        lambda document: next(one for one in document["actions"] if one["name"] == "qualify")["effects"].append(
            {"set_baseline": "now", "if": {"level": {"at_least": 2}}}
        ),
    ),
    "level": mql_when({"level": {"at_least": 3}}),
    "a sequence": mql_when({"sequence": {"types": ["webinar", "price_list"], "within_days": 10}}),
    "bant": mql_when({"all": [FEW, {"bant": {"min": 1, "within_days": 5}}]}),
    "one of two": mql_when({"at_least": {"count": 2, "of": [FEW, {"fit": {"at_least": 40}}, {"contactable": True}]}}),
}


def by_evaluations(policy: Policy, past: Past, until: datetime) -> Outcome:
    """The same by full evaluations: at each moment, and in between whenever the score says it may have changed."""
    facts = Facts(stage=past.stage, seq=1, opened_at=past.opened_at, last_occurred_at=past.opened_at)
    due: datetime | None = None
    for moment in [*(at for at in past.moments() if at <= until), None]:
        while due is not None and due <= (moment or until) and due != moment:
            outcome, facts, due = evaluated(policy, facts, due, by_time=True)
            if outcome.decided_at:
                return outcome
        if moment is not None:
            outcome, facts, due = evaluated(policy, seen(facts, past, moment), moment, by_time=False)
            if outcome.decided_at:
                return outcome
    return Outcome()


def evaluated(policy: Policy, facts: Facts, at: datetime, *, by_time: bool) -> tuple[Outcome, Facts, datetime | None]:
    found = evaluate(policy, facts, at, by_time=by_time)
    moves = [step for step in found.steps if isinstance(step, Move)]
    reached = next((move.occurred_at for move in moves if ("mql", False) in move.milestones), None)
    return Outcome(reached, at if reached else None), found.facts, found.score.evaluate_at


def seen(facts: Facts, past: Past, at: datetime) -> Facts:
    state = [one for one in past.states if one.since <= at][-1]
    return replace(
        facts,
        fields=state.fields,
        identities=state.identities,
        activities=tuple(one for known_at, one in past.activities if known_at <= at),
        confirmations=tuple(one for known_at, one in past.confirmations if known_at <= at),
    )


days = st.integers(0, 119)
activities = st.lists(st.tuples(st.sampled_from(TYPES), days, st.integers(0, 20)), max_size=7)
changes = st.lists(st.tuples(days, st.sampled_from([PERSONA, CLERK, {}])), max_size=3)


def past_of(
    happened: list[tuple[str, int, int]], changed: list[tuple[int, dict[str, object]]], confirmed: list[int]
) -> Past:
    """Activities as (type, day, days until it was recorded), fields as (day, fields), confirmations of need as days."""
    recorded = [
        (
            START + timedelta(days=day + late),
            Activity(uuid(f"{n}"), type_, "interest", START + timedelta(days=day), START + timedelta(days=day + late)),
        )
        for n, (type_, day, late) in enumerate(happened)
    ]
    states = [Known(START + timedelta(days=day), fields, {}) for day, fields in sorted(changed, key=lambda one: one[0])]
    needs = [confirmation("need", days_ago=120 - day) for day in sorted(confirmed)]
    return Past(
        id=uuid("journey"),
        stage="inquiry",
        opened_at=START,
        open=((START, None),),
        states=(Known(START, CLERK, {}), *states),
        activities=tuple(sorted(recorded, key=lambda one: one[0])),
        confirmations=tuple((one.recorded_at, one) for one in needs),
    )


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=50)
@given(happened=activities, changed=changes, confirmed=st.lists(days, max_size=2))
def test_a_replay_finds_what_an_evaluation_at_every_instant_finds(
    name: str, happened: list[Any], changed: list[Any], confirmed: list[int]
) -> None:
    past, policy = past_of(happened, changed, confirmed), POLICIES[name]
    found = Replay(policy).of(past, NOON)
    assert replace(found, due_at=None) == by_evaluations(policy, past, NOON)


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=20)
@given(happened=activities, changed=changes, day=days)
def test_what_is_recorded_later_does_not_change_what_was_decided_before(
    name: str, happened: list[Any], changed: list[Any], day: int
) -> None:
    replay, until = Replay(POLICIES[name]), START + timedelta(days=day, hours=1)
    whole = past_of(happened, changed, [])
    known = past_of([one for one in happened if one[1] + one[2] <= day], [one for one in changed if one[0] <= day], [])
    found = replay.of(whole, until)
    assert replace(found, due_at=None) == replace(replay.of(known, until), due_at=None)
    if found.decided_at is not None:
        assert replay.of(whole, NOON) == found


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=20)
@given(happened=activities, changed=changes)
def test_looked_at_again_when_it_is_due_a_journey_is_decided_as_in_one_replay(
    name: str, happened: list[Any], changed: list[Any]
) -> None:
    replay, past = Replay(POLICIES[name]), past_of(happened, changed, [])
    last = min(NOON, max([at for at, _ in past.activities] + [one.since for one in past.states]))
    found = replay.of(past, last)
    while found.due_at is not None and found.due_at <= NOON:
        found = replay.of(past, found.due_at)
    assert replace(found, due_at=None) == replace(replay.of(past, NOON), due_at=None)


def test_a_closed_journey_is_not_evaluated_and_one_that_is_reopened_is_evaluated_at_once() -> None:
    def day(number: int) -> datetime:
        return START + timedelta(days=number)

    ready = past_of([("demo_request", 10, 0)], [(5, PERSONA)], [])
    replay = Replay(WATERFALL)
    assert replay.of(ready, NOON) == Outcome(day(10), day(10))
    assert replay.of(replace(ready, open=((day(0), day(10)),)), NOON) == Outcome()
    reopened = replace(ready, open=((day(0), day(10)), (day(20), None)))
    assert replay.of(reopened, NOON).decided_at == day(20)


def test_a_stage_that_the_policy_does_not_have_is_replaced_by_the_one_where_it_opens_journeys() -> None:
    past = replace(past_of([("demo_request", 10, 0)], [(5, PERSONA)], []), stage="interested")
    assert Replay(WATERFALL).of(past, NOON).decided_at == START + timedelta(days=10)


def test_only_the_latest_activities_count_as_in_every_evaluation() -> None:
    first = ("demo_request", 0, 1)
    later = [("other", 1, 0)] * 500
    assert Replay(WATERFALL).of(past_of([first], [(0, PERSONA)], []), NOON).decided_at is not None
    assert Replay(WATERFALL).of(past_of([first, *later], [(0, PERSONA)], []), NOON).decided_at is None
