"""Opportunities move along the actions of the policy, and prove milestones of the journey they came from."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.api import Api
from tests.conversion.steps import BANT, converted, count, events, moved, mql, rows, sql_lead, srl_lead

ANNA = {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft"}


async def step(api: Api, deal: str, actor: str | None, **asked: Any) -> Any:
    """The answer to a transition of an opportunity, whatever it is."""
    return await api.call("POST", f"/v1/opportunities/{deal}/transitions", asked, actor=actor)


async def reached(api: Api, lead: dict[str, Any]) -> list[str]:
    journeys = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    return [one["name"] for one in journeys[-1]["milestones"] if not one["voided"]]


async def test_7_bant_twice(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await mql(api, **ANNA)
    await moved(api, lead, "accept", sdr)
    answer = await moved(api, lead, "hand_over", sdr, bant=BANT, headers={"Idempotency-Key": "seven"})
    deal = answer["conversion"]["opportunity"]["id"]
    assert answer["conversion"]["opportunity"]["class"] == "unqualified"
    assert "srl" in await reached(api, lead)
    bare = await step(api, deal, ae, action="qualify")
    assert (bare.status_code, bare.json()["unmet"][0]["have"]) == (422, 0)  # what the SDR confirmed is not enough
    one = await step(api, deal, ae, action="qualify", bant={"need": {"status": "confirmed"}})
    unmet = {"criterion": "bant", "have": 1, "need": 3, "missing": ["budget", "authority", "timing"]}
    assert (one.status_code, one.json()["code"], one.json()["unmet"]) == (422, "criteria_unmet", [unmet])
    before = await api.reload(lead)
    done = await step(api, deal, ae, action="qualify", bant=BANT)
    assert done.status_code == 201, done.text
    assert (done.json()["opportunity"]["class"], done.json()["opportunity"]["owner_id"]) == ("qualified", ae)
    assert (done.json()["transition"]["from"], done.json()["transition"]["to"]) == ("unqualified", "qualified")
    assert await reached(api, lead) == ["mql", "sal", "srl", "sql"]
    after = await api.reload(lead)
    assert (after["stage"], after["version"]) == ("converted", before["version"] + 1)
    assert after["bant"]["budget"]["confirmed_by"] == ae
    told = [one for one in await events(api, lead) if one.lead_version == after["version"]]
    assert [one.type for one in told] == ["opportunity.stage_changed"]
    assert (told[0].data["lead_id"], told[0].data["class"]) == (lead["id"], "qualified")


async def test_a_deal_is_advanced_and_won(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    deal = (await converted(api, lead, ae))["opportunity"]["id"]
    assert (await step(api, deal, ae, action="advance", to="negotiation")).status_code == 201
    back = await step(api, deal, ae, action="advance", to="proposal")
    assert (back.status_code, back.json()["code"]) == (409, "backward_move")
    assert (await step(api, deal, None, action="win")).status_code == 201  # a system may tell that it is won
    again = await step(api, deal, ae, action="win")
    assert (again.status_code, again.json()["code"]) == (409, "already_in_stage")
    assert await reached(api, lead) == ["mql", "sal", "sql", "won"]
    log = (await api.get(f"/v1/opportunities/{deal}/transitions"))["data"]
    assert [(one["seq"], one["from"], one["to"]) for one in log] == [
        (1, None, "qualified"),
        (2, "qualified", "negotiation"),
        (3, "negotiation", "won"),
    ]


async def test_a_lost_deal_has_a_reason(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    deal = (await converted(api, lead, ae))["opportunity"]["id"]
    none = await step(api, deal, ae, action="lose")
    unknown = await step(api, deal, ae, action="lose", reason_code="weather")
    silent = await step(api, deal, ae, action="lose", reason_code="other")
    assert [one.json()["code"] for one in (none, unknown, silent)] == [
        "reason_required",
        "unknown_reason",
        "input_required",
    ]
    lost = await step(api, deal, ae, action="lose", reason_code="price", note="too dear")
    assert (lost.json()["opportunity"]["class"], lost.json()["opportunity"]["closing_reason"]) == ("lost", "price")
    assert "lost" in await reached(api, lead)


async def test_who_may_not_and_what_is_unknown_is_refused(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    deal = (await converted(api, await srl_lead(api, sdr, **ANNA), ae))["opportunity"]["id"]
    before = await api.get(f"/v1/opportunities/{deal}")
    machine = await step(api, deal, None, action="qualify", bant=BANT)
    person = await step(api, deal, sdr, action="qualify", bant=BANT)
    unknown = await step(api, deal, ae, action="explode")
    empty = await step(api, deal, ae)
    future = await step(api, deal, ae, action="qualify", bant=BANT, occurred_at=api.ago(days=-1))
    stale = await api.call(
        "POST",
        f"/v1/opportunities/{deal}/transitions",
        {"action": "qualify", "bant": BANT},
        actor=ae,
        headers={"If-Match": '"9"'},
    )
    assert [one.json()["code"] for one in (machine, person, unknown, empty, future, stale)] == [
        "human_required",
        "role_not_allowed",
        "unknown_action",
        "request_invalid",
        "out_of_order",
        "version_conflict",
    ]
    assert await api.get(f"/v1/opportunities/{deal}") == before
    assert (await step(api, deal, ae, to="qualified", bant=BANT)).status_code == 201


async def test_a_farmers_deal_needs_no_lead(pipeline_api: Api) -> None:
    api = pipeline_api
    ae = await api.user("ae")
    deal = await api.post("/v1/opportunities", {"name": "Renewal"}, actor=ae)
    assert (deal["stage"], deal["class"], deal["business"], deal["origin_lead_id"]) == (
        "unqualified",
        "unqualified",
        "existing",
        None,
    )
    short = await step(api, deal["id"], ae, action="qualify", bant={"need": {"status": "confirmed"}})
    assert short.json()["unmet"][0]["have"] == 1
    assert (await step(api, deal["id"], ae, action="qualify", bant=BANT)).status_code == 201
    assert (await step(api, deal["id"], ae, action="win")).status_code == 201
    told = await rows(api, "SELECT type, lead_id, order_key, data::jsonb AS data FROM events ORDER BY seq")
    assert [(one.type, one.lead_id, one.data["to"]) for one in told] == [
        ("opportunity.stage_changed", None, to) for to in ("unqualified", "qualified", "won")
    ]
    assert {one.data["lead_id"] for one in told} == {None}
    assert len({one.order_key for one in told}) == 1
    assert await count(api, "milestones") == 0
    log = (await api.get(f"/v1/opportunities/{deal['id']}/transitions"))["data"]
    assert set(log[1]["evidence"]["bant"]) == set(BANT)


async def test_twenty_at_once_make_one_step(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    deal = (await converted(api, lead, ae))["opportunity"]["id"]
    answers = await asyncio.gather(*(step(api, deal, ae, action="win") for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 19
    assert await count(api, "opportunity_transitions") == 2
    assert (await reached(api, lead)).count("won") == 1


async def test_the_deal_of_an_earlier_journey_proves_nothing_of_the_present_one(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    first = (await converted(api, lead, ae))["opportunity"]["id"]
    api.clock.ahead += timedelta(days=120)
    await api.add_activity(lead, "demo_request")
    assert (await api.reload(lead))["journey_no"] == 2
    assert (await step(api, first, ae, action="win")).status_code == 201
    journeys = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    names = [[one["name"] for one in journey["milestones"]] for journey in journeys]
    assert names[0][-1] == "won"
    assert "won" not in names[1]


async def test_an_archived_deal_stands_still(api: Api) -> None:
    ae = await api.user("ae")
    deal = await api.post("/v1/opportunities", {"name": "Renewal"})
    await api.call("PATCH", f"/v1/opportunities/{deal['id']}", {"archived": True})
    answer = await step(api, deal["id"], ae, action="lose", reason_code="price")
    assert (answer.status_code, answer.json()["code"]) == (422, "target_unavailable")
