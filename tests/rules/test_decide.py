"""The contents of a move, the order of the checks, and that no ask makes the rules raise."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lifecycle.answer import (
    CriteriaUnmet,
    Emit,
    InputRequired,
    Move,
    OutOfOrder,
    ReasonRequired,
    Refused,
    RoleNotAllowed,
    Stay,
    TransitionNotAllowed,
    UnknownAction,
    UnknownReason,
)
from app.lifecycle.automatic import evaluate
from app.lifecycle.decide import decide
from app.lifecycle.effects import facts_after
from app.lifecycle.eligibility import eligibility
from app.lifecycle.opportunity import decide_opportunity
from app.policy.document import Policy
from app.policy.facts import POLICY, Actor, Ask, Facts
from app.scoring.score import scored
from tests.rules.make import (
    AE,
    MANAGER,
    MARKETING,
    NOON,
    PERSONA,
    PIPELINE,
    POLICIES,
    SDR,
    SERVICE,
    activity,
    altered,
    bant,
    call,
    uuid,
)
from tests.rules.strategies import actors, asks, facts_of

MQL = Facts(stage="mql", milestones=frozenset({"mql"}))


def why(facts: Facts, ask: Ask, policy: Policy = PIPELINE) -> object:
    decision = decide(policy, facts, ask, NOON)
    assert isinstance(decision, Refused), decision
    return decision.why


def move(facts: Facts, ask: Ask, policy: Policy = PIPELINE) -> Move:
    decision = decide(policy, facts, ask, NOON)
    assert isinstance(decision, Move), decision
    return decision


@given(facts_of(), asks)
def test_no_ask_makes_decide_raise_and_every_answer_is_json(facts: Facts, ask: Ask) -> None:
    for policy in POLICIES.values():
        decision = decide(policy, scored(policy, facts, NOON), ask, NOON)
        if isinstance(decision, Move):
            json.dumps(decision.evidence)
            assert facts_after(facts, decision).seq == facts.seq + 1
            assert decision.from_stage != decision.to_stage
            assert facts.last_occurred_at is None or decision.occurred_at >= facts.last_occurred_at
        elif isinstance(decision, Refused):
            assert decision.why.code
            if isinstance(decision.why, CriteriaUnmet):
                assert decision.why.unmet
                assert all({"criterion", "have", "need"} <= set(leaf) for leaf in decision.why.unmet)
                json.dumps(decision.why.unmet)


@given(facts_of(), actors)
def test_eligibility_agrees_with_decide(facts: Facts, actor: Actor) -> None:
    for policy in POLICIES.values():
        known = scored(policy, facts, NOON)
        for line in eligibility(policy, known, actor, NOON):
            assert line.allowed == (line.code is None)
            endpoint = (
                "conversion" if line.action == "convert" else "revert" if "revert" in line.action else "transition"
            )
            decision = decide(policy, known, Ask(line.action, actor, endpoint=endpoint), NOON)  # type: ignore[arg-type]
            if isinstance(decision, Move | Stay):
                assert line.allowed
            elif not isinstance(decision.why, InputRequired | ReasonRequired | OutOfOrder):
                assert line.code == decision.why.code
                assert line.unmet == getattr(decision.why, "unmet", line.unmet)


@given(facts_of(), asks, st.sampled_from([*(stage.name for stage in PIPELINE.opportunity.stages), "nonsense"]))
def test_no_ask_makes_an_opportunity_raise(facts: Facts, ask: Ask, stage: str) -> None:
    for action in (ask.action, "qualify", "advance", "win", "lose"):
        decision = decide_opportunity(PIPELINE, facts, stage, replace(ask, action=action), NOON)
        assert isinstance(decision, Refused) or decision.from_stage == stage != decision.to_stage


def test_the_first_failed_check_in_the_order_of_the_design_is_the_refusal() -> None:
    facts = replace(MQL, last_occurred_at=NOON)
    ask = Ask("unheard_of", SERVICE, occurred_at=NOON - timedelta(days=1))
    assert why(facts, ask) == UnknownAction("unheard_of")
    allowed = ("accept", "hand_over", "recycle", "disqualify", "correct")
    assert why(facts, replace(ask, action="reopen")) == TransitionNotAllowed("mql", "reopen", allowed)
    assert why(facts, replace(ask, action="disqualify")) == RoleNotAllowed(
        "disqualify", "service", ("sdr", "ae", "marketing", "manager", "policy")
    )
    ask = replace(ask, action="recycle", actor=SDR)
    assert isinstance(why(facts, ask), ReasonRequired)
    assert isinstance(why(facts, replace(ask, reason_code="nonsense")), UnknownReason)
    assert why(facts, replace(ask, reason_code="unreachable")) == OutOfOrder(NOON, NOON + timedelta(minutes=5))
    last = replace(ask, reason_code="unreachable", occurred_at=NOON)
    assert isinstance(why(facts, last), CriteriaUnmet)
    assert move(facts, replace(last, reason_code="timing")).occurred_at == NOON


def test_a_reason_may_require_a_note_and_a_blank_note_does_not_count() -> None:
    ask = Ask("disqualify", SDR, reason_code="other")
    assert why(MQL, ask) == InputRequired("note")
    assert why(MQL, replace(ask, note="  ")) == InputRequired("note")
    assert move(MQL, replace(ask, note="moved abroad")).note == "moved abroad"
    assert isinstance(why(MQL, Ask("accept", SDR, reason_code="timing")), UnknownReason)


def test_an_action_of_the_product_that_a_policy_lacks_is_not_allowed_rather_than_unknown() -> None:
    assert isinstance(why(MQL, Ask("hand_over", SDR), POLICIES["waterfall"]), TransitionNotAllowed)


@pytest.mark.parametrize("minutes", [5, 6])
def test_a_move_is_at_most_five_minutes_in_the_future(minutes: int) -> None:
    decision = decide(PIPELINE, MQL, Ask("accept", SDR, occurred_at=NOON + timedelta(minutes=minutes)), NOON)
    assert isinstance(decision, Move) == (minutes == 5)


def test_an_override_replaces_the_guard_and_is_recorded_as_evidence() -> None:
    facts = scored(PIPELINE, Facts(stage="inquiry", fields=PERSONA, activities=(activity("webinar"),)), NOON)
    ask = Ask("qualify", MARKETING, override_reason="met at the fair")
    made = move(facts, ask)
    assert made.evidence["override_reason"] == "met at the fair"
    assert made.evidence["unmet"] == [{"criterion": "engagement", "have": 10, "need": 30}]
    assert len(made.entries or ()) == 4
    assert isinstance(why(facts, replace(ask, override_reason=" ")), CriteriaUnmet)
    assert isinstance(why(facts, replace(ask, actor=SDR)), RoleNotAllowed)


def test_only_the_roles_of_the_override_may_override() -> None:
    def only_managers(changed: dict[str, list[dict[str, object]]]) -> None:
        qualify = next(action for action in changed["actions"] if action["name"] == "qualify")
        qualify["override"] = {"people": ["manager"]}

    policy, ask = altered(PIPELINE, only_managers), Ask("qualify", MARKETING, override_reason="met at the fair")
    assert isinstance(why(Facts(stage="inquiry"), ask, policy), CriteriaUnmet)
    assert move(Facts(stage="inquiry"), replace(ask, actor=MANAGER), policy).to_stage == "mql"


def test_a_lead_recycled_disqualified_and_reopened_keeps_its_wake_at() -> None:
    until = NOON + timedelta(days=60)
    recycled = facts_after(MQL, move(MQL, Ask("recycle", SDR, reason_code="timing", wake_at=until)))
    closed = facts_after(recycled, move(recycled, Ask("disqualify", SDR, reason_code="no_need")))
    back = facts_after(closed, move(closed, Ask("reopen", SDR, reason_code="mistake", note="too soon")))
    assert (back.stage, back.wake_at) == ("recycled", until)
    facts = replace(back, activities=(activity("demo_request", -0.001),), fields=PERSONA)
    qualified = evaluate(PIPELINE, facts, NOON).facts
    assert (qualified.stage, qualified.wake_at) == ("mql", None)


def test_a_named_owner_must_be_an_active_user_of_the_role() -> None:
    facts = replace(scored(PIPELINE, Facts(stage="inquiry"), NOON), fit=50, engagement=50)
    ask = Ask("qualify", MARKETING, owner_id=SDR.user_id, owner_role="sdr", override_reason="yes")
    made = move(facts, ask)
    assert (made.owner, made.pool, made.assigned) == (SDR.user_id, None, True)
    leaf: dict[str, object] = {"criterion": "assignable", "have": None, "need": "sdr"}
    assert why(facts, replace(ask, owner_role=None)) == CriteriaUnmet((leaf,))


def test_a_skipped_stage_is_a_skipped_milestone() -> None:
    rows = bant("need", "budget", "timing", by=SDR)
    made = move(MQL, Ask("hand_over", SDR, bant=rows))
    assert made.milestones == (("sal", True), ("srl", False))
    straight = move(replace(MQL, stage="sal"), Ask("confirm", AE, bant=bant("need", "budget", "timing")))
    assert straight.milestones == (("srl", True), ("sql", False))


def test_hand_over_converts_unless_the_request_declines() -> None:
    rows = bant("need", "budget", "timing", by=SDR)
    assert move(MQL, Ask("hand_over", SDR, bant=rows)).convert
    assert not move(MQL, Ask("hand_over", SDR, bant=rows, convert=False)).convert


def test_input_an_action_does_not_take_has_no_effect() -> None:
    made = move(MQL, Ask("accept", SDR, bant=bant("need", by=SDR), owner_id=uuid("x"), wake_at=NOON, convert=True))
    assert (made.bant, made.owner, made.wake_at, made.convert) == ((), SDR.user_id, None, False)


def test_a_claim_from_the_pool_keeps_the_attempts_made_before_it() -> None:
    facts = replace(MQL, assigned_at=NOON - timedelta(days=1), activities=(call(0.5),))
    assert not move(facts, Ask("accept", SDR)).assigned
    taken = replace(facts, owner_id=uuid("somebody"), owner_role="sdr")
    assert move(taken, Ask("accept", MANAGER)).assigned


@pytest.mark.parametrize(
    ("asked", "assigned_at"),
    [
        (Ask("recycle", SDR, reason_code="timing"), None),
        (Ask("disqualify", SDR, reason_code="no_budget"), NOON - timedelta(days=1)),
        (Ask("correct", MANAGER, to="inquiry", reason_code="mistake", note="not ours", correction_of="trn_1"), None),
        (Ask("hand_over", SDR, bant=bant("need", "budget", "timing", by=SDR), convert=False), NOON),
    ],
    ids=lambda one: one.action if isinstance(one, Ask) else "",
)
def test_a_lead_that_nobody_has_was_assigned_at_no_time(asked: Ask, assigned_at: datetime | None) -> None:
    facts = replace(MQL, stage="sal", owner_id=SDR.user_id, owner_role="sdr", assigned_at=NOON - timedelta(days=1))
    assert facts_after(facts, move(facts, asked)).assigned_at == assigned_at


def test_return_assigns_the_lead_to_the_previous_sdr() -> None:
    sal = replace(MQL, stage="sal", owner_id=SDR.user_id, owner_role="sdr")
    made = move(sal, Ask("hand_over", SDR, bant=bant("need", "budget", "timing", by=SDR), convert=False))
    srl = facts_after(sal, made)
    assert (srl.owner_id, srl.previous_owner_id) == (None, SDR.user_id)
    claimed = facts_after(srl, move(srl, Ask("confirm", AE, bant=bant("need", "budget", "timing"))))
    assert (claimed.owner_id, claimed.previous_owner_id) == (AE.user_id, SDR.user_id)
    back = move(srl, Ask("return", AE, reason_code="needs_info"))
    assert (back.to_stage, back.owner) == ("sal", SDR.user_id)


def test_reopening_enters_the_held_stage() -> None:
    closed = facts_after(MQL, move(MQL, Ask("disqualify", SDR, reason_code="no_budget")))
    ask = Ask("reopen", SDR, reason_code="mistake", note="they called back")
    made = move(closed, ask)
    assert (made.to_stage, made.reopens, made.closes) == ("mql", True, False)
    again = facts_after(closed, made)
    assert (again.stage, again.closed_at, again.closing_reason) == ("mql", None, None)
    spam = facts_after(MQL, move(MQL, Ask("disqualify", SDR, reason_code="spam")))
    assert isinstance(why(spam, ask), CriteriaUnmet)
    assert move(spam, replace(ask, actor=MANAGER)).to_stage == "mql"


def test_the_first_milestone_pins_and_a_parked_stage_unpins() -> None:
    facts = Facts(stage="inquiry", fields=PERSONA, activities=(activity("demo_request"),))
    qualified = evaluate(PIPELINE, facts, NOON)
    first = qualified.steps[0]
    assert isinstance(first, Move)
    assert (first.pins, first.unpins, first.pool) == (True, False, "sdr")
    recycled = move(qualified.facts, Ask("recycle", SDR, reason_code="timing"))
    assert (recycled.pins, recycled.unpins) == (False, True)


def test_a_suspect_engages_and_qualifies_in_one_run_at_the_time_of_the_activity() -> None:
    facts = Facts(stage="suspect", fields=PERSONA, activities=(activity("demo_request", 2),))
    steps = evaluate(PIPELINE, facts, NOON).steps
    assert [(step.action, step.occurred_at) for step in steps] == [
        ("engage", NOON - timedelta(days=2)),
        ("qualify", NOON - timedelta(days=2)),
    ]
    later = replace(facts, last_occurred_at=NOON - timedelta(days=1))
    assert evaluate(PIPELINE, later, NOON).steps[0].occurred_at == NOON - timedelta(days=1)


def test_automatic_steps_enter_no_stage_twice_in_one_run() -> None:
    def qualify_and_recycle_in_turn(changed: dict[str, Any]) -> None:
        changed["conditions"] |= {"mql": {"fit": {"at_least": 40}}, "fresh_interest": {"fit": {"at_least": 40}}}
        changed["automation"].append({"do": "recycle", "reason_code": "stalled"})

    policy = altered(PIPELINE, qualify_and_recycle_in_turn)
    facts = scored(policy, Facts(stage="inquiry", fields=PERSONA), NOON)
    assert [step.action for step in evaluate(policy, facts, NOON).steps] == ["qualify", "recycle"]


def test_a_move_without_occurred_at_is_never_before_the_previous_one() -> None:
    ahead = NOON + timedelta(minutes=3)
    assert move(replace(MQL, last_occurred_at=ahead), Ask("accept", SDR)).occurred_at == ahead
    assert move(MQL, Ask("accept", SDR)).occurred_at == NOON


def test_a_wake_emits_one_event_and_makes_no_move() -> None:
    facts = Facts(stage="recycled", wake_at=NOON)
    assert evaluate(PIPELINE, facts, NOON).steps == (Emit("wake", ("lead.recycle_due",), NOON, clears_wake=True),)
    assert evaluate(PIPELINE, facts, NOON - timedelta(seconds=1)).steps == ()
    woken = evaluate(PIPELINE, facts, NOON).facts
    assert (woken.stage, woken.wake_at) == ("recycled", None)
    assert decide(PIPELINE, facts, Ask("wake", POLICY), NOON) == Stay()


def test_capture_enters_suspect_or_inquiry_by_the_entry() -> None:
    ask = Ask("capture", SERVICE, source="src_1")
    assert move(Facts(identities=1), ask).to_stage == "inquiry"
    assert move(Facts(identities=1, entry="suspect"), ask).to_stage == "suspect"
    assert move(Facts(identities=1), ask).opens
    assert isinstance(why(Facts(), ask), CriteriaUnmet)
    assert why(Facts(identities=1), replace(ask, source=None)) == InputRequired("source")


def test_a_fast_track_converts_from_an_earlier_stage_if_its_condition_holds() -> None:
    track = {"from": ["mql"], "if": {"fit": {"at_least": 45}}}
    policy = altered(PIPELINE, lambda changed: changed["conversion"].update(fast_track=track))
    ask = Ask("convert", AE, convert=True, endpoint="conversion")
    leaf = {"criterion": "fit", "have": 0, "need": 45}
    assert why(MQL, ask, policy) == CriteriaUnmet((leaf,))
    made = move(replace(MQL, fit=50), ask, policy)
    assert (made.to_stage, made.milestones) == ("converted", (("srl", False),))
    assert isinstance(why(replace(MQL, fit=50), ask), TransitionNotAllowed)


def test_an_unmet_guard_that_is_only_about_the_actor_is_role_not_allowed() -> None:
    def only_managers(changed: dict[str, list[dict[str, object]]]) -> None:
        accept = next(action for action in changed["actions"] if action["name"] == "accept")
        accept["guard"] = {"actor": {"roles": ["manager"]}}

    policy = altered(PIPELINE, only_managers)
    assert why(MQL, Ask("accept", SDR), policy) == RoleNotAllowed("accept", "sdr", ("manager",))


@pytest.mark.parametrize(
    ("stage", "ask", "expected"),
    [
        ("qualified", Ask("advance", AE, to="negotiation"), "negotiation"),
        ("qualified", Ask("advance", AE), "input_required"),
        ("qualified", Ask("advance", AE, to="won"), "transition_not_allowed"),
        ("proposal", Ask("advance", AE, to="qualified"), "backward_move"),
        ("proposal", Ask("advance", AE, to="proposal"), "already_in_stage"),
        ("proposal", Ask(None, AE, to="negotiation"), "negotiation"),
        ("proposal", Ask("win", SERVICE), "won"),
        ("won", Ask("win", AE), "already_in_stage"),
        ("won", Ask("lose", AE, reason_code="price"), "transition_not_allowed"),
        ("proposal", Ask("lose", AE), "reason_required"),
        ("proposal", Ask("lose", AE, reason_code="other"), "input_required"),
        ("proposal", Ask("lose", AE, reason_code="price"), "lost"),
        ("proposal", Ask("lose", SDR, reason_code="price"), "role_not_allowed"),
        ("unqualified", Ask("qualify", SERVICE), "human_required"),
        ("unqualified", Ask("qualify", AE), "criteria_unmet"),
        ("unqualified", Ask("accept", AE), "unknown_action"),
    ],
)
def test_an_opportunity_moves_by_the_same_rules(stage: str, ask: Ask, expected: str) -> None:
    decision = decide_opportunity(PIPELINE, Facts(), stage, ask, NOON)
    assert (decision.why.code if isinstance(decision, Refused) else decision.to_stage) == expected


def test_an_opportunity_that_is_won_closes_and_sets_its_milestone() -> None:
    decision = decide_opportunity(PIPELINE, Facts(), "proposal", Ask("win", AE), NOON)
    assert not isinstance(decision, Refused)
    assert (decision.closes, decision.milestones, decision.to_class) == (True, ("won",), "won")
