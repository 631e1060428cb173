"""The plan of the demo: reproducible, allowed by the policy, in chronological order, with invented people."""

import math
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands.demo import play
from app.commands.demo.forms import SOURCES, form_fill, signed
from app.commands.demo.plan import DAYS, PlannedLead, PolicyName, Step, plan_leads
from app.ids import new_id
from app.policy.document import Policy
from app.policy.shipped import shipped
from app.sources.mapping import map_request
from app.sources.preset import make_document
from app.sources.request import RawRequest
from app.sources.verify import verify

END = datetime(2026, 8, 17, 12, tzinfo=UTC)
PLAN = plan_leads(1, 1500, END)


def test_the_same_seed_generates_the_same_leads_and_another_seed_generates_others() -> None:
    assert plan_leads(1, 1500, END) == PLAN
    assert plan_leads(2, 1500, END) != PLAN


@given(sizes=st.lists(st.integers(min_value=0, max_value=12), max_size=9), most=st.integers(min_value=1, max_value=5))
def test_batches_hold_all_in_order_none_is_empty_and_a_group_is_divided_only_if_it_is_too_long(
    sizes: list[int], most: int
) -> None:
    groups = [[(n, each) for each in range(size)] for n, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(play, "MAX_ACTIVITIES", most)
        batches = list(play._batches(groups))
    assert [one for batch in batches for one in batch] == [one for group in groups for one in group]
    assert all(1 <= len(batch) <= most for batch in batches)
    for n, size in enumerate(sizes):
        holding = [batch for batch in batches if any(group == n for group, _ in batch)]
        assert len(holding) == math.ceil(size / most)


def test_every_email_address_is_unique_and_of_a_reserved_domain() -> None:
    assert all(lead.person.email.endswith(".example") for lead in PLAN)
    assert all(lead.person.email.isascii() for lead in PLAN)
    assert len({lead.person.email for lead in PLAN}) == len({lead.key for lead in PLAN}) == len(PLAN)


@pytest.mark.parametrize("lead", PLAN[::40], ids=lambda lead: lead.key)
def test_what_happens_to_a_lead_is_in_chronological_order_and_ends_before_now(lead: PlannedLead) -> None:
    interest = [one.at for one in lead.activities if one.kind == "interest"]
    attempts = [one.at for one in lead.activities if one.kind == "contact_attempt"]
    steps = [step.at for step in lead.steps]
    assert END - timedelta(days=DAYS, seconds=1) <= lead.at <= END
    for instants in (interest, steps, attempts):
        assert instants == sorted(instants)
        assert all(lead.at <= at < END for at in instants)
    assert not steps or not interest or max(interest) <= steps[0]


POLICIES: dict[PolicyName, tuple[str, ...]] = {
    "pipeline": ("qualify", "accept", "hand_over", "advance", "recycle", "disqualify", "win", "lose"),
    "waterfall": ("qualify", "accept", "confirm", "convert", "recycle", "disqualify", "win", "lose"),
}


def action_of(step: Step) -> str:
    return str(step.body.get("action", "convert" if step.kind == "conversion" else step.kind))


@pytest.mark.parametrize("name", POLICIES)
def test_every_step_is_an_action_of_the_policy(name: PolicyName) -> None:
    policy: Policy = shipped(name)
    plan = plan_leads(1, 1500, END, name)
    known = {action.name for action in policy.actions} | {action.name for action in policy.opportunity.actions}
    taken = Counter(action_of(step) for lead in plan for step in lead.steps)
    assert set(taken) <= known | {"edit"}
    assert min(taken[action] for action in (*POLICIES[name], "edit")) > 0
    reasons = {reason.code for reasons in policy.reasons.values() for reason in reasons}
    reasons |= {reason.code for reasons in policy.opportunity.reasons.values() for reason in reasons}
    assert {step.body["reason_code"] for lead in plan for step in lead.steps if "reason_code" in step.body} <= reasons


def test_each_stage_is_reached_by_fewer_leads_than_the_one_before() -> None:
    counts = Counter(action_of(step) for lead in PLAN for step in lead.steps)
    assert len(PLAN) > counts["accept"] > counts["hand_over"] > counts["win"] > 0
    assert 0.03 < counts["accept"] / len(PLAN) < 0.2


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_rates_of_the_plan_are_those_that_the_teams_agreed_on(seed: int) -> None:
    reached, closed = Counter[str](), Counter[str]()
    for lead in plan_leads(seed, 5_000, END):
        actions = [action_of(step) for step in lead.steps if step.kind != "edit"]
        reached["mql"] += any(one.type == "demo_request" for one in lead.activities)
        reached["srl"] += "hand_over" in actions
        reached["sql"] += "hand_over" in actions and "qualify" in actions[actions.index("hand_over") :]
        if "advance" in actions:
            [deal] = [step.body["conversion"]["opportunity"] for step in lead.steps if "conversion" in step.body]
            closed[f"{deal['business']} {actions[-1]}"] += 1
    assert 0.2 < reached["srl"] / reached["mql"] < 0.4
    assert 0.8 < reached["sql"] / reached["srl"] < 0.9
    for business, least in (("new", 0.3), ("existing", 0.75)):
        won, lost = closed[f"{business} win"], closed[f"{business} lose"]
        assert least <= won / (won + lost) < least + 0.1
        assert closed[f"{business} advance"] > 0, "some deals are open"


@pytest.mark.parametrize("lead", PLAN[::150], ids=lambda lead: f"{lead.key} {lead.source}")
def test_a_form_fill_has_its_providers_signature_and_maps_to_the_planned_person(lead: PlannedLead) -> None:
    source = SOURCES[lead.source]
    document = make_document(source["preset"], source["overrides"])
    body = form_fill(lead)
    request = RawRequest("POST", signed(lead, body, "s"), "", body, END)
    assert verify(document, {"signing": "s"}, request, END)
    assert not verify(document, {"signing": "another"}, request, END)
    (item,) = map_request(document, request, new_id())
    assert item.person is not None
    company = lead.person.company
    assert item.submission_key == lead.key
    assert item.occurred_at == lead.at
    assert item.person.fields["email"] == lead.person.email
    assert (item.person.fields["employees"], item.person.fields["industry"]) == (company.employees, company.industry)
    assert item.person.fields["job_title"] == lead.person.job_title
