"""The stories of lifecycle.md, section 11, under the policy `waterfall`, with the same numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from app.policy.document import Policy
from app.policy.shipped import shipped
from tests.api import Api
from tests.stories.test_reinquiry import told

GOOD = {"job_title": "Director", "employees": 120, "industry": "software"}


def with_competitors(*domains: str) -> Policy:
    document = shipped("waterfall").model_dump(mode="json", by_alias=True, exclude_unset=True)
    document["lists"] = {**document["lists"], "competitors": list(domains)}
    return Policy.model_validate_json(orjson.dumps(document))


def unmet_of(eligibility: dict[str, Any], action: str) -> list[dict[str, Any]]:
    return list(next(one for one in eligibility["actions"] if one["action"] == action)["unmet"])


async def test_1_a_lead_qualifies_at_the_threshold_and_not_below_it(api: Api) -> None:
    lead = await api.lead(email="anna@nordsoft.ro", full_name="Anna Zvoristeanu", **GOOD)
    await api.add_activity(lead, "webinar", occurred_at=api.ago(days=45))
    await api.add_activity(lead, "price_list")
    below = await api.reload(lead)
    eligibility = await api.get(f"/v1/leads/{lead['id']}/eligibility")
    assert (below["stage"], below["score"]["fit"], below["score"]["engagement"]) == ("inquiry", 50, 25)
    assert unmet_of(eligibility, "qualify") == [{"criterion": "engagement", "have": 25, "need": 30}]
    await api.add_activity(lead, "case_study", occurred_at=api.ago(days=3))
    above = await api.reload(lead)
    score = await api.get(f"/v1/leads/{lead['id']}/score")
    assert (above["stage"], above["score"]["engagement"]) == ("mql", 40)
    assert await api.steps(lead) == [(None, "inquiry"), ("inquiry", "mql")]
    assert sum(entry["decayed_points"] for entry in score["entries"]) == 90


async def test_2_negative_points_keep_a_lead_from_qualifying(api: Api) -> None:
    await api.publish(with_competitors("rival.com"))
    ion = await api.lead(email="ion@gmail.com", **GOOD)
    await api.add_activity(ion, "demo_request")
    eligibility = await api.get(f"/v1/leads/{ion['id']}/eligibility")
    assert (await api.reload(ion))["stage"] == "inquiry"
    assert unmet_of(eligibility, "qualify") == [{"criterion": "fit", "have": 35, "need": 40}]
    rival = await api.lead(email="x@rival.com", **GOOD)
    await api.add_activity(rival, "demo_request")
    assert (await api.reload(rival))["score"]["fit"] == -50
    assert (await api.reload(rival))["stage"] == "inquiry"


async def test_2_a_competitor_is_disqualified_by_a_policy_that_says_so(api: Api) -> None:
    document = with_competitors("rival.com").model_dump(mode="json", by_alias=True, exclude_unset=True)
    rule = {"do": "disqualify", "reason_code": "competitor", "if": {"field": "domain", "in_list": "competitors"}}
    document["automation"].append(rule)
    await api.publish(Policy.model_validate_json(orjson.dumps(document)))
    rival = await api.lead(email="x@rival.com", **GOOD)
    assert rival["stage"] == "disqualified"
    assert (await api.get(f"/v1/leads/{rival['id']}/transitions"))["data"][-1]["reason_code"] == "competitor"
    assert (await api.lead(email="anna@nordsoft.ro", **GOOD))["stage"] == "inquiry"


async def test_5_an_sdr_accepts_recycles_or_disqualifies(api: Api) -> None:
    sdr = await api.user("sdr")
    one, two, three, four = [await api.mql() for _ in range(4)]
    assert (await api.ask(one, "accept", sdr)).json()["lead"]["stage"] == "sal"
    wake_at = api.ago(days=-60)
    recycled = (await api.ask(two, "recycle", sdr, reason_code="timing", wake_at=wake_at)).json()["lead"]
    assert (recycled["stage"], recycled["owner_id"], recycled["wake_at"]) == ("recycled", None, wake_at)
    refused = await api.ask(three, "disqualify", sdr)
    assert (refused.status_code, refused.json()["code"]) == (422, "reason_required")
    gone = await api.ask(three, "disqualify", sdr, reason_code="competitor")
    assert gone.json()["lead"]["stage"] == "disqualified"
    await api.add_activity(four, "call", kind="contact_attempt")
    refused = await api.ask(four, "recycle", sdr, reason_code="unreachable")
    assert refused.json()["unmet"] == [{"criterion": "attempts", "have": 1, "need": 3}]
    await api.add_activity(four, "call", kind="contact_attempt")
    await api.add_activity(four, "call", kind="contact_attempt")
    assert (await api.ask(four, "recycle", sdr, reason_code="unreachable")).status_code == 201


async def test_6_a_machine_cannot_accept(api: Api) -> None:
    lead = await api.mql()
    key = await api.post("/v1/keys", {"name": "CRM", "scopes": ["leads:read", "leads:write"]})
    path = f"/v1/leads/{lead['id']}/transitions"
    machine = await api.call("POST", path, {"action": "accept"}, key=key["secret"])
    asserted = await api.call("POST", path, {"action": "accept"}, key=key["secret"], actor=await api.user("sdr"))
    assert (machine.status_code, machine.json()["code"]) == (403, "human_required")
    assert (asserted.status_code, asserted.json()["code"]) == (403, "scope_missing")
    assert (await api.reload(lead)) == lead
    moves = [(event["from"], event["to"]) for event in await told(api, lead, "lead.stage_changed")]
    assert moves == await api.steps(lead) == [(None, "inquiry"), ("inquiry", "mql")]


async def test_6_a_key_that_may_assert_people_accepts_for_one_and_both_are_recorded(api: Api) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    scopes = ["leads:read", "leads:write", "actors:assert"]
    key = await api.post("/v1/keys", {"name": "CRM", "scopes": scopes})
    path = f"/v1/leads/{lead['id']}/transitions"
    done = (await api.post(path, {"action": "accept"}, key=key["secret"], actor=sdr))["transition"]
    assert done["actor"] == {"id": sdr, "kind": "human", "role": "sdr"}
    assert done["on_behalf_of"]["id"] == key["id"]


async def test_15_only_a_correction_moves_a_lead_back(api: Api) -> None:
    sdr, ae, manager = [await api.user(role) for role in ("sdr", "ae", "manager")]
    lead = await api.mql()
    await api.ask(lead, "accept", sdr)
    bant = {name: {"status": "confirmed"} for name in ("budget", "need", "timing")}
    assert (await api.ask(lead, "confirm", ae, bant=bant)).json()["lead"]["stage"] == "sql"
    back = await api.call("POST", f"/v1/leads/{lead['id']}/transitions", {"to": "mql"}, actor=manager)
    assert (back.status_code, back.json()["code"]) == (409, "backward_move")
    assert {"recycle", "correct"} <= set(back.json()["allowed_actions"])
    confirmed = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]
    corrected = await api.ask(
        lead, "correct", manager, to="sal", reason_code="mistake", note="wrong lead", correction_of=confirmed["id"]
    )
    assert corrected.json()["lead"]["stage"] == "sal", corrected.text
    (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert {one["name"]: one["voided"] for one in journey["milestones"]} == {"mql": False, "sal": False, "sql": True}
    assert len(await api.steps(lead)) == 5


@pytest.mark.parametrize(("reason", "stage", "journeys"), [("no_budget", "mql", 2), ("spam", "disqualified", 1)])
async def test_16_interest_after_disqualification_opens_a_journey_unless_the_reason_is_permanent(
    api: Api, reason: str, stage: str, journeys: int
) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    await api.ask(lead, "disqualify", sdr, reason_code=reason)
    api.clock.ahead += timedelta(days=90)
    await api.add_activity(lead, "demo_request")
    after = await api.reload(lead)
    rows = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert (after["stage"], len(rows)) == (stage, journeys)
    assert after["blocked_reinquiry"] == (reason == "spam")


async def test_a_recycled_lead_returns_only_by_interest_after_it_was_recycled(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    await api.add_activity(lead, "webinar", occurred_at=api.ago(days=2))
    assert (await api.reload(lead))["stage"] == "recycled"
    await api.add_activity(lead, "demo_request")
    assert (await api.reload(lead))["stage"] == "mql"


async def test_reopen_returns_to_the_stage_before_the_close(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    await api.ask(lead, "accept", sdr)
    await api.ask(lead, "disqualify", sdr, reason_code="no_budget")
    answer = await api.ask(lead, "reopen", sdr, reason_code="mistake", note="they have")
    assert answer.json()["lead"]["stage"] == "sal"
    assert answer.json()["lead"]["journey_no"] == 1


async def test_a_refused_request_writes_nothing(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    before = await api.reload(lead)
    bant = {"need": {"status": "confirmed"}}
    assert (await api.ask(lead, "confirm", sdr, bant=bant)).status_code == 409
    assert await api.reload(lead) == before
