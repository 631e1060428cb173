"""Whatever points, decay and caps a policy has, the entries add up to the score, and no cap is exceeded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.document import Policy
from app.policy.facts import Activity, Facts
from app.policy.scoring import Scoring
from app.scoring.score import score
from tests.rules.make import NOON, PIPELINE, activity, document, uuid
from tests.rules.strategies import facts_of

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
TYPES = ("webinar", "case_study", "price_list", "demo_request")
POINTS = st.integers(-60, 60)
GROUPS = st.sampled_from([None, "one", "two"])
FIT = (
    {"field": "employees", "at_least": 50},
    {"field": "industry", "is": "software"},
    {"exception": False},
    {"contactable": True},
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """The shipped policy with other scoring: rules in groups, steps of decay, and caps on rules, groups and ledgers."""
    days = sorted(draw(st.sets(st.integers(1, 90), min_size=1, max_size=4)))
    percents = sorted(draw(st.lists(st.integers(0, 100), min_size=len(days), max_size=len(days))), reverse=True)
    fit = [{"id": f"f{n}", "points": draw(POINTS), "if": one} for n, one in enumerate(FIT)]
    engagement = [{"id": f"e{n}", "points": draw(POINTS), "type": draw(st.sampled_from(TYPES))} for n in range(5)]
    for rule in (*fit, *engagement):
        if (group := draw(GROUPS)) is not None:
            rule["group"] = group
    groups = sorted({str(rule["group"]) for rule in (*fit, *engagement) if "group" in rule})
    scopes: list[dict[str, Any]] = [{"ledger": name} for name in ("fit", "engagement")]
    scopes += [{"rule": rule["id"]} for rule in (*fit, *engagement)] + [{"group": group} for group in groups]
    caps = draw(st.lists(st.sampled_from(scopes).flatmap(lambda one: CAP.map(lambda cap: one | cap)), max_size=6))
    decay = [{"to_day": day, "percent": percent} for day, percent in zip(days, percents, strict=True)]
    old = document(PIPELINE)["scoring"]
    scoring = {**old, "decay": decay, "fit": fit, "engagement": engagement, "caps": caps}
    return PIPELINE.model_copy(update={"scoring": Scoring.model_validate(scoring, strict=False)})


CAP = st.integers(0, 80).map(lambda points: {"points": points})


def fresh(policy: Policy) -> Policy:
    """The policy without the lookups that were cached for another document."""
    return Policy.model_validate_json(policy.model_dump_json(by_alias=True, exclude_unset=True))


@given(policies(), facts_of())
def test_the_entries_add_up_and_no_cap_is_exceeded(policy: Policy, facts: Facts) -> None:
    policy = fresh(policy)
    known = score(policy, facts, NOON)
    again = score(policy, facts, NOON)
    assert (known, known.evaluate_at) == (again, again.evaluate_at)
    for ledger, shown in (("fit", known.fit), ("engagement", known.engagement)):
        counted = [one for one in known.entries if one.ledger == ledger and one.counts]
        assert sum(one.decayed_points for one in counted) == shown
        for cap in policy.scoring.caps:
            if cap.ledger == ledger:
                assert shown <= cap.points

    for cap, rules in policy.capped_rules:
        for ledger in ("fit", "engagement"):
            names = {*rules, *(f"cap:{rule}" for rule in rules)} | ({f"cap:{cap.group}"} if cap.group else set())
            inside = [one for one in known.entries if one.ledger == ledger and one.rule_id in names and one.counts]
            if cap.ledger is None:
                assert sum(one.decayed_points for one in inside) <= cap.points


@given(policies(), facts_of(), st.floats(0, 1, exclude_max=True))
def test_between_two_evaluations_the_score_of_any_policy_stays(policy: Policy, facts: Facts, part: float) -> None:
    policy = fresh(policy)
    known = score(policy, facts, NOON)
    end = known.evaluate_at or NOON + 400 * DAY
    then = score(policy, facts, min(NOON + (end - NOON) * part, end - TICK))
    assert (then.fit, then.engagement, then.level, then.temperature) == (
        known.fit,
        known.engagement,
        known.level,
        known.temperature,
    )


def acted(type_: str, count: int) -> tuple[Activity, ...]:
    return tuple(replace(activity(type_, n / 100), id=uuid(f"{type_}{n}")) for n in range(count))


@pytest.mark.parametrize(
    ("cap", "points"),
    [({"points": 29}, 29), ({"points": 30}, 30), ({"points": 31}, 30)],
    ids=["one below", "equal", "one above"],
)
@pytest.mark.parametrize("scope", [{"rule": "webinar"}, {"group": "reading"}, {"ledger": "engagement"}])
def test_a_cap_takes_exactly_what_is_above_it(scope: dict[str, str], cap: dict[str, int], points: int) -> None:
    changed = document(PIPELINE)
    changed["scoring"]["engagement"][0]["group"] = "reading"
    changed["scoring"]["caps"] = [scope | cap]
    policy = Policy.model_validate(changed, strict=False)
    known = score(policy, Facts(activities=acted("webinar", 3)), NOON)
    assert known.engagement == points
    assert [one.decayed_points for one in known.entries if one.rule_id.startswith("cap:")] == (
        [-1] if points < 30 else []
    )


@pytest.mark.parametrize(
    ("age", "points"),
    [
        (10 * DAY, 100),
        (10 * DAY + TICK, 60),
        (20 * DAY - TICK, 60),
        (20 * DAY, 60),
        (20 * DAY + TICK, 25),
        (30 * DAY, 25),
        (30 * DAY + TICK, 0),
    ],
)
def test_each_step_of_decay_holds_to_the_end_of_its_last_day(age: timedelta, points: int) -> None:
    changed = document(PIPELINE)
    steps = ((10, 100), (20, 60), (30, 25))
    changed["scoring"]["decay"] = [{"to_day": day, "percent": percent} for day, percent in steps]
    changed["scoring"]["engagement"] = [{"id": "webinar", "points": 100, "type": "webinar"}]
    policy = Policy.model_validate(changed, strict=False)
    facts = Facts(activities=(replace(activity("webinar"), occurred_at=NOON - age),))
    assert score(policy, facts, NOON).engagement == points
