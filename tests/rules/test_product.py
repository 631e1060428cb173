"""All stages x all actions x all roles, for both shipped policies, against the table in `oracle`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from app.lifecycle.answer import AlreadyInStage, BackwardMove, CriteriaUnmet, Move, Refused, Stay, TransitionNotAllowed
from app.lifecycle.decide import decide
from app.policy.facts import Actor, Ask, Endpoint, Facts
from tests.rules import oracle
from tests.rules.make import IMPORT, NOON, POLICIES, SERVICE, activity, bant, call, person, uuid

ACTORS = {role: person(role) for role in oracle.PEOPLE}
ACTORS |= {"service": SERVICE, "policy": Actor(None, "policy", "policy"), "import": IMPORT}
REASON = {
    "recycle": "timing",
    "disqualify": "bad_fit",
    "return": "needs_info",
    "reopen": "mistake",
    "correct": "mistake",
}
REASON |= {"revert_conversion": "mistake"}
ENDPOINT: dict[str, Endpoint] = {"convert": "conversion", "revert_conversion": "revert"}
NAMED = "sal"


def guard_meeting_facts(stage: str | None) -> Facts:
    """Facts that meet every guard."""
    closed = stage in ("converted", "disqualified")
    return Facts(
        stage=stage,
        identities=1,
        fit=50,
        engagement=50,
        activities=(activity("demo_request", 1), call(0.9), call(0.8), call(0.7)),
        held_stage=NAMED if closed else None,
        closed_at=NOON - timedelta(days=1) if closed else None,
        closing_reason="bad_fit" if stage == "disqualified" else None,
        wake_at=NOON,
    )


def guard_failing_facts(stage: str | None) -> Facts:
    """Facts that meet no guard."""
    return replace(
        guard_meeting_facts(stage),
        identities=0,
        fit=0,
        engagement=0,
        activities=(),
        owner_id=uuid("somebody else"),
        closed_at=NOON - timedelta(days=60),
        wake_at=None,
    )


def complete_ask(action: str, role: str, **more: object) -> Ask:
    """An ask with every input that any action takes."""
    actor = ACTORS[role]
    ask = Ask(
        action,
        actor,
        to=NAMED if action == "correct" else None,
        reason_code=REASON.get(action),
        note="why",
        bant=bant("need", "budget", "timing", by=actor) if actor.user_id else (),
        correction_of="trn_1",
        source="src_1",
        convert=True,
        endpoint=ENDPOINT.get(action, "transition"),
    )
    return replace(ask, **more)  # type: ignore[arg-type]


CASES = [
    (name, stage, action, role)
    for name in POLICIES
    for stage, action, role in product(oracle.STAGES[name], [*oracle.WORDS, "nonsense"], ACTORS)
]


def answer(name: str, facts: Facts, ask: Ask) -> str:
    match decide(POLICIES[name], facts, ask, NOON):
        case Move() as move:
            return move.to_stage
        case Stay():
            return "="
        case Refused(why):
            if isinstance(why, AlreadyInStage | BackwardMove | TransitionNotAllowed):
                assert set(why.allowed_actions) == oracle.allowed(name, facts.stage)
            return why.code


@pytest.mark.parametrize("name", POLICIES)
def test_every_action_of_every_role_has_the_result_of_the_table(name: str) -> None:
    wrong = []
    for policy, stage, action, role in CASES:
        if policy == name:
            facts, ask = guard_meeting_facts(stage), complete_ask(action, role)
            expected = oracle.verdict(name, stage, action, role, NAMED, facts.held_stage)
            got = answer(name, facts, ask)
            if got != expected:
                wrong.append((stage, action, role, expected, got))
    assert wrong == []


GUARDED = {"capture", "engage", "qualify", "accept", "hand_over", "confirm", "wake", "reopen", "revert_conversion"}


@pytest.mark.parametrize("name", POLICIES)
def test_an_unmet_guard_refuses_actors_who_may_do_the_action(name: str) -> None:
    wrong = []
    for policy, stage, action, role in CASES:
        if policy == name:
            facts, ask = guard_failing_facts(stage), complete_ask(action, role, bant=())
            expected = oracle.verdict(name, stage, action, role, NAMED, facts.held_stage)
            reached = expected == "=" or expected in oracle.STAGES[name]
            manager_claims = action == "accept" and role in ("manager", "admin")
            if reached and action in GUARDED and not manager_claims:
                expected = "criteria_unmet"
            got = answer(name, facts, ask)
            if got != expected:
                wrong.append((stage, action, role, expected, got))
    assert wrong == []


@pytest.mark.parametrize("name", POLICIES)
def test_a_target_alone_means_the_action_that_leads_there(name: str) -> None:
    """`correct` is never meant by a target alone; `reopen` is, when the target is the held stage."""
    wrong = []
    for stage, to in product(oracle.STAGES[name], [*oracle.ORDER, "recycled", "disqualified", "nonsense"]):
        facts = guard_meeting_facts(stage)
        rows = oracle.TABLES[name].items()
        meant = [
            action
            for action, found in rows
            if stage in found.sources and to != stage and to == (facts.held_stage if found.to == "held" else found.to)
        ]
        for role in ACTORS:
            expected = oracle.verdict(name, stage, meant[0], role, NAMED, facts.held_stage) if meant else None
            if expected is None:
                here, there = oracle.ORDER.get(stage or "", -1), oracle.ORDER.get(to, 999)
                known = to in oracle.STAGES[name]
                expected = "already_in_stage" if to == stage else "transition_not_allowed"
                if to != stage and known and there < here:
                    expected = "backward_move"
            ask = replace(complete_ask(meant[0] if meant else "", role), action=None, to=to)
            if (got := answer(name, facts, ask)) != expected:
                wrong.append((stage, to, role, expected, got))
    assert wrong == []


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("missing", ["reason_code", "note", "correction_of", "to", "source", "convert"])
def test_a_missing_needed_input_is_named_in_the_refusal(name: str, missing: str) -> None:
    needs = {"recycle": "reason_code", "disqualify": "reason_code", "return": "reason_code", "capture": "source"}
    needs |= {"reopen": "reason_code note", "correct": "reason_code note correction_of to", "convert": "convert"}
    needs |= {"revert_conversion": "reason_code"}
    for stage, action in product(oracle.STAGES[name], oracle.TABLES[name]):
        lacking: dict[str, object] = {missing: False if missing == "convert" else None}
        ask = complete_ask(action, "manager", **lacking)
        if (
            oracle.verdict(name, stage, action, "manager", NAMED, guard_meeting_facts(stage).held_stage)
            not in oracle.STAGES[name]
        ):
            continue
        decision = decide(POLICIES[name], guard_meeting_facts(stage), ask, NOON)
        if missing not in needs.get(action, ""):
            assert isinstance(decision, Move)
        else:
            assert isinstance(decision, Refused)
            assert not isinstance(decision.why, CriteriaUnmet)
            assert decision.why.code == ("reason_required" if missing == "reason_code" else "input_required")
            field = getattr(decision.why, "field", None)
            assert field == {"reason_code": None, "convert": "conversion"}.get(missing, missing)


@pytest.mark.parametrize("name", POLICIES)
def test_conversion_is_refused_at_the_transitions_endpoint(name: str) -> None:
    ask = complete_ask("convert", "ae", endpoint="transition")
    decision = decide(POLICIES[name], guard_meeting_facts("sql"), ask, NOON)
    assert isinstance(decision, Refused)
    assert isinstance(decision.why, TransitionNotAllowed)
    assert decision.why.use == "conversion"
