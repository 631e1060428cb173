"""Who let a lead lie does not get it again in the same journey, as long as somebody else can take it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.policy.clocks import Clock
from app.policy.document import Policy
from tests.api import Api
from tests.routing.documents import routed
from tests.routing.test_partners import ALPINE, BALTIC, INSIDE, TEAMS, assignment, is_sound, pass_minutes

POOL = {"method": "pool", "team": "alpine"}


def breaching(to: list[dict[str, Any]], **route: Any) -> Policy:
    """A policy by whose clock a lead is routed anew after two hours without a call."""
    policy = routed({"rules": [{"id": "partners", "to": to}], **route}, TEAMS)
    clock = {"minutes": 120, "met_by": "contact_attempt", "on_breach": [{"assign": "sdr"}]}
    response = Clock.model_validate_json(json.dumps(clock))
    return policy.model_copy(update={"clocks": {**policy.clocks, "response": response}})


@pytest.mark.parametrize("first", [ALPINE, POOL])
async def test_a_partner_who_let_a_lead_lapse_is_left_out_when_a_clock_breaches_later(
    api: Api, first: dict[str, Any]
) -> None:
    await api.user("sdr", team="alpine")
    await api.publish(breaching([first, INSIDE]))
    inside = [await api.user("sdr", team="inside"), await api.user("sdr", team="inside")]
    lead = await api.mql()
    assert lead["team"] == "alpine"
    await pass_minutes(api, 61)
    assert (await api.reload(lead))["owner_id"] in inside
    await pass_minutes(api, 120)
    again = await api.reload(lead)
    assert again["owner_id"] in inside, "the other one, since the first has had it too"
    told = (await assignment(api, lead))["decision"]
    assert [one["outcome"] for one in told["targets"]] == ["had_it", "assigned"]
    assert sorted(str(one["unavailable"]) for one in told["targets"][1]["ring"]["members"]) == ["None", "had_it"]
    assert await is_sound(api)


async def test_a_rule_that_has_only_partners_who_let_the_lead_lapse_leaves_it_to_the_next_rule(api: Api) -> None:
    await api.user("sdr", team="alpine")
    await api.publish(breaching([ALPINE], method="round_robin"))
    own = await api.user("sdr")
    lead = await api.mql()
    await pass_minutes(api, 61)
    assert ((await api.reload(lead))["owner_id"], (await api.reload(lead))["team"]) == (None, None)
    await pass_minutes(api, 120)
    after = (await api.reload(lead))["owner_id"], (await assignment(api, lead))["decision"]["rule"]
    assert after == (own, None)


async def test_who_let_it_lie_before_gets_it_again_where_nobody_else_can_take_it(api: Api) -> None:
    await api.publish(breaching([INSIDE]))
    ana, ben = await api.user("sdr", team="inside"), await api.user("sdr", team="inside")
    lead = await api.mql()
    clock = (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"][0]["clock"]
    assert (lead["owner_id"], clock) == (ana, "response")
    await pass_minutes(api, 121)
    assert (await api.reload(lead))["owner_id"] == ben
    manager = await api.user("manager")
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]["id"]
    note = {"reason_code": "mistake", "note": "not ours", "correction_of": last}
    for to in ("inquiry", "mql"):
        answer = await api.ask(lead, "correct", manager, to=to, **note)
        assert answer.status_code == 201, answer.text
    assert (await api.reload(lead))["owner_id"] is not None
    for _ in range(3):  # each time it goes to the other one: both have let it lie, one of them just now
        before = (await api.reload(lead))["owner_id"]
        start = await api.ask(lead, "correct", manager, to="inquiry", **note)
        assert start.status_code == 201
        assert (await api.ask(lead, "correct", manager, to="mql", **note)).status_code == 201
        await pass_minutes(api, 121)
        after = (await api.reload(lead))["owner_id"]
        assert {before, after} <= {ana, ben}
        assert after is not None
    assert await is_sound(api)


async def test_a_later_partner_that_had_the_lead_is_passed_over_when_an_offer_ends(api: Api) -> None:
    baltic = await api.user("sdr", team="baltic")
    await api.publish(breaching([BALTIC, INSIDE]))
    inside = await api.user("sdr", team="inside")
    lead = await api.mql()
    assert lead["owner_id"] == baltic
    await pass_minutes(api, 31)
    assert (await api.reload(lead))["owner_id"] == inside
    await pass_minutes(api, 120)
    told = (await assignment(api, lead))["decision"]
    assert told["targets"][0]["outcome"] == "had_it"
    assert (told["owner_id"], told["reason"], told["pool"]) == (None, "nobody_available", "sdr")


@pytest.mark.parametrize("first", [ALPINE, POOL])
async def test_a_partner_cannot_accept_what_it_let_lapse_where_nobody_comes_next_but_others_can(
    api: Api, first: dict[str, Any]
) -> None:
    partner, colleague = await api.user("sdr", team="alpine"), await api.user("sdr", team="alpine")
    await api.publish(routed({"rules": [{"id": "partners", "to": [first]}]}, TEAMS))
    lead = await api.mql()
    assert lead["team"] == "alpine"
    await pass_minutes(api, 61)
    assert ((await api.reload(lead))["owner_id"], (await api.reload(lead))["team"]) == (None, None)
    for user in (partner, colleague):
        allowed = await api.call("GET", f"/v1/leads/{lead['id']}/eligibility", actor=user)
        [accept] = [one for one in allowed.json()["actions"] if one["action"] == "accept"]
        refused = await api.ask(lead, "accept", user)
        assert (accept["allowed"], refused.status_code) == (False, 422), refused.text
        assert [one["criterion"] for one in refused.json()["unmet"]] == ["owner"]
    own = await api.user("sdr", team="inside")
    assert (await api.ask(lead, "accept", own)).status_code == 201
    assert await is_sound(api)
