"""Transitions of opportunities, and the milestones that they set on the journey the opportunity came from."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.api import Api
from tests.conversion.steps import BANT, converted, count, events, moved, mql, rows, sql_lead, srl_lead

ANNA = {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft"}


async def step(api: Api, opportunity: str, actor: str | None, **members: Any) -> Any:
    """Requests a transition of an opportunity; the response, whatever its status."""
    return await api.call("POST", f"/v1/opportunities/{opportunity}/transitions", members, actor=actor)


async def reached(api: Api, lead: dict[str, Any]) -> list[str]:
    journeys = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    return [one["name"] for one in journeys[-1]["milestones"] if not one["voided"]]


async def test_7_bant_twice(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await mql(api, **ANNA)
    await moved(api, lead, "accept", sdr)
    answer = await moved(api, lead, "hand_over", sdr, bant=BANT, headers={"Idempotency-Key": "seven"})
    opportunity = answer["conversion"]["opportunity"]["id"]
    assert answer["conversion"]["opportunity"]["class"] == "unqualified"
    assert "srl" in await reached(api, lead)
    without_bant = await step(api, opportunity, ae, action="qualify")
    # Confirmations by the SDR do not count here.
    assert (without_bant.status_code, without_bant.json()["unmet"][0]["have"]) == (422, 0)
    one = await step(api, opportunity, ae, action="qualify", bant={"need": {"status": "confirmed"}})
    unmet = {"criterion": "bant", "have": 1, "need": 3, "missing": ["budget", "authority", "timing"]}
    assert (one.status_code, one.json()["code"], one.json()["unmet"]) == (422, "criteria_unmet", [unmet])
    before = await api.reload(lead)
    done = await step(api, opportunity, ae, action="qualify", bant=BANT)
    assert done.status_code == 201, done.text
    assert (done.json()["opportunity"]["class"], done.json()["opportunity"]["owner_id"]) == ("qualified", ae)
    assert (done.json()["transition"]["from"], done.json()["transition"]["to"]) == ("unqualified", "qualified")
    assert await reached(api, lead) == ["mql", "sal", "srl", "sql"]
    after = await api.reload(lead)
    assert (after["stage"], after["version"]) == ("converted", before["version"] + 1)
    assert after["bant"]["budget"]["confirmed_by"] == ae
    emitted = [one for one in await events(api, lead) if one.lead_version == after["version"]]
    assert [one.type for one in emitted] == ["opportunity.stage_changed"]
    assert (emitted[0].data["lead_id"], emitted[0].data["class"]) == (lead["id"], "qualified")


async def test_a_hand_over_that_is_recorded_late_converts_when_it_happened(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await mql(api, **ANNA)
    api.clock.ahead += timedelta(days=3)
    at, headers = api.ago(days=2), {"Idempotency-Key": "late"}
    answer = await moved(api, lead, "hand_over", sdr, bant=BANT, occurred_at=at, headers=headers)
    assert [one["occurred_at"] for one in (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]][-2:] == [
        at,
        at,
    ]
    path = f"/v1/opportunities/{answer['conversion']['opportunity']['id']}"
    assert (await api.get(f"{path}/history"))["data"][0]["occurred_at"] == at
    confirmed = await step(api, path.rpartition("/")[2], ae, action="qualify", bant=BANT, occurred_at=api.ago(days=1))
    assert confirmed.status_code == 201, confirmed.text


async def test_an_opportunity_is_advanced_and_won(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    opportunity = (await converted(api, lead, ae))["opportunity"]["id"]
    assert (await step(api, opportunity, ae, action="advance", to="negotiation")).status_code == 201
    back = await step(api, opportunity, ae, action="advance", to="proposal")
    assert (back.status_code, back.json()["code"]) == (409, "backward_move")
    assert (await step(api, opportunity, None, action="win")).status_code == 201  # the action needs no human actor
    again = await step(api, opportunity, ae, action="win")
    assert (again.status_code, again.json()["code"]) == (409, "already_in_stage")
    assert await reached(api, lead) == ["mql", "sal", "sql", "won"]
    log = (await api.get(f"/v1/opportunities/{opportunity}/transitions"))["data"]
    assert [(one["seq"], one["from"], one["to"]) for one in log] == [
        (1, None, "qualified"),
        (2, "qualified", "negotiation"),
        (3, "negotiation", "won"),
    ]


async def test_losing_an_opportunity_needs_a_reason(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    opportunity = (await converted(api, lead, ae))["opportunity"]["id"]
    without_reason = await step(api, opportunity, ae, action="lose")
    unknown = await step(api, opportunity, ae, action="lose", reason_code="weather")
    without_note = await step(api, opportunity, ae, action="lose", reason_code="other")
    assert [one.json()["code"] for one in (without_reason, unknown, without_note)] == [
        "reason_required",
        "unknown_reason",
        "input_required",
    ]
    lost = await step(api, opportunity, ae, action="lose", reason_code="price", note="too dear")
    assert (lost.json()["opportunity"]["class"], lost.json()["opportunity"]["closing_reason"]) == ("lost", "price")
    assert "lost" in await reached(api, lead)


async def test_a_refused_transition_changes_nothing(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    opportunity = (await converted(api, await srl_lead(api, sdr, **ANNA), ae))["opportunity"]["id"]
    before = await api.get(f"/v1/opportunities/{opportunity}")
    machine = await step(api, opportunity, None, action="qualify", bant=BANT)
    person = await step(api, opportunity, sdr, action="qualify", bant=BANT)
    unknown = await step(api, opportunity, ae, action="explode")
    empty = await step(api, opportunity, ae)
    future = await step(api, opportunity, ae, action="qualify", bant=BANT, occurred_at=api.ago(days=-1))
    stale = await api.call(
        "POST",
        f"/v1/opportunities/{opportunity}/transitions",
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
    assert await api.get(f"/v1/opportunities/{opportunity}") == before
    assert (await step(api, opportunity, ae, to="qualified", bant=BANT)).status_code == 201


async def test_an_opportunity_without_a_lead_is_qualified_and_won(pipeline_api: Api) -> None:
    api = pipeline_api
    ae = await api.user("ae")
    opportunity = await api.post("/v1/opportunities", {"name": "Renewal"}, actor=ae)
    assert (opportunity["stage"], opportunity["class"], opportunity["business"], opportunity["origin_lead_id"]) == (
        "unqualified",
        "unqualified",
        "existing",
        None,
    )
    short = await step(api, opportunity["id"], ae, action="qualify", bant={"need": {"status": "confirmed"}})
    assert short.json()["unmet"][0]["have"] == 1
    assert (await step(api, opportunity["id"], ae, action="qualify", bant=BANT)).status_code == 201
    assert (await step(api, opportunity["id"], ae, action="win")).status_code == 201
    emitted = await rows(api, "SELECT type, lead_id, order_key, data::jsonb AS data FROM events ORDER BY seq")
    assert [(one.type, one.lead_id, one.data["to"]) for one in emitted] == [
        ("opportunity.stage_changed", None, to) for to in ("unqualified", "qualified", "won")
    ]
    assert {one.data["lead_id"] for one in emitted} == {None}
    assert len({one.order_key for one in emitted}) == 1
    assert await count(api, "milestones") == 0
    log = (await api.get(f"/v1/opportunities/{opportunity['id']}/transitions"))["data"]
    assert set(log[1]["evidence"]["bant"]) == set(BANT)


async def test_twenty_requests_at_once_make_one_transition(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **ANNA)
    opportunity = (await converted(api, lead, ae))["opportunity"]["id"]
    answers = await asyncio.gather(*(step(api, opportunity, ae, action="win") for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 19
    assert await count(api, "opportunity_transitions") == 2
    assert (await reached(api, lead)).count("won") == 1


async def test_an_opportunity_of_an_earlier_journey_sets_no_milestone_on_the_present_one(api: Api) -> None:
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


async def test_an_archived_opportunity_takes_no_transition(api: Api) -> None:
    ae = await api.user("ae")
    opportunity = await api.post("/v1/opportunities", {"name": "Renewal"})
    await api.call("PATCH", f"/v1/opportunities/{opportunity['id']}", {"archived": True})
    answer = await step(api, opportunity["id"], ae, action="lose", reason_code="price")
    assert (answer.status_code, answer.json()["code"]) == (422, "target_unavailable")
