"""The scenarios of lifecycle.md, section 11, with the same numbers, as far as rules alone can show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.lifecycle.answer import BackwardMove, CriteriaUnmet, HumanRequired, Move, ReasonRequired, Refused
from app.lifecycle.automatic import evaluate
from app.lifecycle.decide import decide
from app.lifecycle.effects import facts_after
from app.lifecycle.eligibility import eligibility
from app.lifecycle.opportunity import decide_opportunity
from app.lifecycle.reinquiry import reinquiry
from app.policy.document import Policy
from app.policy.facts import Actor, Ask, Facts
from app.scoring.score import score, scored
from tests.rules.make import (
    AE,
    MANAGER,
    MARKETING,
    NOON,
    PERSONA,
    PIPELINE,
    SDR,
    SERVICE,
    WATERFALL,
    activity,
    altered,
    bant,
    call,
    confirmation,
    document,
)

ANNA = Facts(
    fields=PERSONA | {"email_domain": "nordsoft.ro"},
    contactable=True,
    identities=1,
    stage="inquiry",
    activities=(activity("webinar", 45), activity("price_list")),
)


def moved(facts: Facts, ask: Ask) -> tuple[Facts, Move]:
    decision = decide(PIPELINE, facts, ask, NOON)
    assert isinstance(decision, Move), decision
    return facts_after(facts, decision), decision


def refusal(facts: Facts, ask: Ask) -> object:
    decision = decide(PIPELINE, facts, ask, NOON)
    assert isinstance(decision, Refused)
    return decision.why


def test_1_a_lead_qualifies_just_above_the_threshold_and_not_just_below() -> None:
    below = evaluate(PIPELINE, ANNA, NOON)
    assert (below.score.fit, below.score.engagement, below.facts.stage) == (50, 25, "inquiry")
    seen = {line.action: line for line in eligibility(PIPELINE, below.facts, MARKETING, NOON)}
    assert seen["qualify"].unmet == ({"criterion": "engagement", "have": 25, "need": 30},)
    assert not seen["qualify"].allowed
    late = replace(ANNA, activities=(*ANNA.activities, activity("case_study", 3)))
    above = evaluate(PIPELINE, late, NOON)
    assert (above.score.engagement, above.facts.stage) == (40, "mql")
    assert [step.action for step in above.steps] == ["qualify"]
    assert sum(entry.decayed_points for entry in above.score.entries) == 90


def test_2_negative_points_keep_a_lead_below_the_threshold() -> None:
    ion = Facts(fields=PERSONA | {"email_domain": "gmail.com", "free_mail": True}, stage="inquiry")
    ion = replace(ion, activities=(activity("demo_request"),))
    answer = evaluate(PIPELINE, ion, NOON)
    assert (answer.score.fit, answer.facts.stage) == (35, "inquiry")
    assert refusal(answer.facts, Ask("qualify", MARKETING)) == CriteriaUnmet(
        ({"criterion": "fit", "have": 35, "need": 40},)
    )


def test_2_a_competitor_never_qualifies_and_is_disqualified_only_if_the_policy_automates_it() -> None:
    rivals = altered(PIPELINE, lambda changed: changed.update(lists={"competitors": ["rival.com"]}))
    rival = Facts(
        fields=PERSONA | {"email_domain": "rival.com"}, stage="inquiry", activities=(activity("demo_request"),)
    )
    answer = evaluate(rivals, rival, NOON)
    assert (answer.score.fit, answer.steps) == (-50, ())
    rule = {"do": "disqualify", "reason_code": "competitor", "if": {"field": "email_domain", "in_list": "competitors"}}
    strict = altered(rivals, lambda changed: changed["automation"].append(rule))
    (step,) = evaluate(strict, rival, NOON).steps
    assert isinstance(step, Move)
    assert (step.action, step.actor.kind) == ("disqualify", "policy")


OWNED = Facts(
    stage="mql", owner_id=SDR.user_id, owner_public_id=SDR.id, owner_role="sdr", milestones=frozenset({"mql"})
)


def test_5_an_sdr_accepts_recycles_or_disqualifies() -> None:
    assert moved(OWNED, Ask("accept", SDR))[0].stage == "sal"
    until = NOON + timedelta(days=60)
    recycled, move = moved(OWNED, Ask("recycle", SDR, reason_code="timing", wake_at=until))
    assert (recycled.stage, recycled.owner_id, recycled.wake_at, recycled.baseline_at) == (
        "recycled",
        None,
        until,
        NOON,
    )
    assert (move.count_recycle, move.unpins, move.owner) == (True, True, "nobody")
    assert isinstance(refusal(OWNED, Ask("disqualify", SDR)), ReasonRequired)
    assert moved(OWNED, Ask("disqualify", SDR, reason_code="competitor"))[0].closing_reason == "competitor"


def test_5_the_reason_unreachable_requires_three_attempts() -> None:
    once = replace(OWNED, activities=(call(1),))
    ask = Ask("recycle", SDR, reason_code="unreachable")
    assert refusal(once, ask) == CriteriaUnmet(({"criterion": "attempts", "have": 1, "need": 3},))
    assert moved(replace(OWNED, activities=(call(3), call(2), call(1))), ask)[0].stage == "recycled"
    assert moved(OWNED, Ask("recycle", SDR, reason_code="timing"))[0].wake_at == NOON + timedelta(days=90)


def test_6_a_machine_cannot_accept() -> None:
    assert refusal(OWNED, Ask("accept", SERVICE)) == HumanRequired("accept")
    asserted = Actor("usr_sdr1", "human", "sdr", SDR.user_id)
    assert moved(OWNED, Ask("accept", asserted))[0].stage == "sal"


def test_7_bant_is_confirmed_once_by_the_sdr_and_once_by_the_ae() -> None:
    sal = replace(OWNED, stage="sal", milestones=frozenset({"mql", "sal"}))
    rows = bant("need", "budget", "timing", by=SDR)
    srl, move = moved(sal, Ask("hand_over", SDR, bant=rows, convert=True))
    assert (srl.stage, move.convert) == ("srl", True)
    assert (move.milestones, move.owner, move.pool, move.bant) == ((("srl", False),), "nobody", "ae", rows)
    convert = Ask("convert", SDR, convert=True, endpoint="conversion")
    converted, _ = moved(srl, convert)
    assert (converted.stage, converted.held_stage, converted.closed_at) == ("converted", "srl", NOON)
    alone = decide_opportunity(PIPELINE, converted, "unqualified", Ask("qualify", AE), NOON)
    assert isinstance(alone, Refused), "the SDR's own confirmations never suffice"
    once = decide_opportunity(PIPELINE, converted, "unqualified", Ask("qualify", AE, bant=bant("need")), NOON)
    leaf = {"criterion": "bant", "have": 1, "need": 3, "missing": ["budget", "authority", "timing"]}
    assert once == Refused(CriteriaUnmet((leaf,)))
    three = Ask("qualify", AE, bant=bant("need", "budget", "timing"))
    qualified = decide_opportunity(PIPELINE, converted, "unqualified", three, NOON)
    assert not isinstance(qualified, Refused)
    assert (qualified.to_class, qualified.milestones) == ("qualified", ("sql",))


def test_15_a_backward_move_needs_recycle_or_correct() -> None:
    sql = Facts(stage="sql", milestones=frozenset({"mql", "sal", "srl", "sql"}))
    why = refusal(sql, Ask(None, SDR, to="mql"))
    assert isinstance(why, BackwardMove)
    assert {"recycle", "correct"} <= set(why.allowed_actions)
    ask = Ask("correct", MANAGER, to="sal", reason_code="mistake", note="wrong lead", correction_of="trn_4")
    sal, move = moved(sql, ask)
    assert (sal.stage, move.voids, sal.milestones) == ("sal", ("srl", "sql"), frozenset({"mql", "sal"}))


def test_16_an_inquiry_after_disqualification_opens_a_second_journey() -> None:
    march, june = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)
    closed = replace(ANNA, stage="disqualified", closed_at=march, closing_reason="no_budget", held_stage="mql")
    assert reinquiry(PIPELINE, closed, june) == "new_journey"
    assert reinquiry(PIPELINE, replace(closed, closing_reason="spam"), june) == "blocked"
    demo = activity("demo_request", 0, now=june)
    second = replace(ANNA, stage=None, baseline_at=march, activities=(activity("webinar", 120), demo))
    captured = decide(PIPELINE, scored(PIPELINE, second, june), Ask("capture", SERVICE, source="src_1"), june)
    assert isinstance(captured, Move)
    answer = evaluate(PIPELINE, facts_after(second, captured), june)
    assert [captured.to_stage, *(step.action for step in answer.steps)] == ["inquiry", "qualify"]
    assert answer.facts.seq == 2


@pytest.mark.parametrize("policy", [WATERFALL, PIPELINE])
def test_a_recycled_lead_qualifies_again_only_by_interest_after_the_baseline(policy: Policy) -> None:
    base = NOON - timedelta(days=5)
    facts = replace(ANNA, stage="recycled", baseline_at=base, activities=(activity("demo_request", 6),))
    answer = evaluate(policy, facts, NOON)
    assert (answer.steps, answer.score.engagement) == ((), 0)
    assert [entry.counts for entry in answer.score.entries if entry.ledger == "engagement"] == [False]
    fresh = replace(facts, activities=(*facts.activities, activity("demo_request", 1)))
    assert [step.action for step in evaluate(policy, fresh, NOON).steps] == ["qualify"]


def test_a_lead_qualifies_by_time_alone_when_negative_points_decay() -> None:
    seen = (activity("unsubscribe", 59.5), activity("price_list"), activity("case_study"), activity("webinar"))
    facts = replace(ANNA, activities=(*seen, activity("webinar", 40)))
    policy = altered(PIPELINE, lambda changed: changed["conditions"].update(mql=THRESHOLD))
    before = evaluate(policy, facts, NOON)
    assert (before.score.engagement, before.steps) == (38, ())
    assert before.score.evaluate_at == NOON + timedelta(days=0.5, microseconds=1)
    assert [step.action for step in evaluate(policy, facts, before.score.evaluate_at).steps] == ["qualify"]


THRESHOLD = {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 50}}]}


def test_temperature_and_level_follow_the_rules_of_the_policy() -> None:
    day = NOON.date() + timedelta(days=90)
    need, budget, timing = confirmation("need"), confirmation("budget"), confirmation("timing", due_on=day)
    for rows, expected in (((), "cold"), ((need,), "warm"), ((need, budget), "warm"), ((need, budget, timing), "hot")):
        assert score(PIPELINE, replace(ANNA, confirmations=rows), NOON).temperature == expected
    assert score(PIPELINE, replace(ANNA, activities=()), NOON).level == 2
    assert score(PIPELINE, replace(ANNA, contactable=False), NOON).level == 0
    four = bant("need", "budget", "timing", "authority")
    assert score(PIPELINE, replace(ANNA, confirmations=four), NOON).level == 5
    met = replace(ANNA, confirmations=four, activities=(activity("meeting"),))
    assert score(PIPELINE, met, NOON).level == 6


def test_the_shipped_policies_differ_in_srl_hand_over_and_return() -> None:
    assert "srl" not in {stage["name"] for stage in document(WATERFALL)["stages"]}
    assert set(PIPELINE.action_of) - set(WATERFALL.action_of) == {"hand_over", "return"}
