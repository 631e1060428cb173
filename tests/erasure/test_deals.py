"""Deals of people who were erased go on, and their events tell from which lead they came."""

from __future__ import annotations

from tests.api import Api
from tests.conversion.steps import converted, sql_lead
from tests.erasure.people import erase
from tests.proof.feed import all_events


async def test_a_deal_that_is_won_after_the_erasure_is_still_told_as_that_of_the_lead(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae)
    deal = (await converted(api, lead, ae))["opportunity"]["id"]
    await erase(api, lead)
    path = f"/v1/opportunities/{deal}/transitions"
    won = await api.post(path, {"action": "win"}, actor=ae)
    assert won["transition"]["lead_id"] == lead["id"]
    assert (await api.get(path))["data"][-1]["lead_id"] == lead["id"]
    told = [one for one in await all_events(api, "opportunity.*") if one["data"].get("class") == "won"]
    assert [one["data"]["lead_id"] for one in told] == [lead["id"]]
    about_the_lead = await api.get(f"/v1/events?after=earliest&limit=1000&lead_id={lead['id']}")
    assert about_the_lead["data"][-1]["type"] == "lead.erased", "an erased lead has no new events"
