"""Leads that are merged after they were converted: their opportunities stay, and go on, with the lead that remains."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import converted, events, sql_lead
from tests.merging.steps import Lead, faults, merged, unmerged

STATES = ("none", "open", "won")
LINKS = ("account_id", "contact_id", "opportunity_id")


async def lead_with(api: Api, state: str, ae: str, email: str) -> Lead:
    """A lead in stage sql, or converted with an opportunity that is open or won."""
    lead = await sql_lead(api, ae, email=email, full_name="Ana Pop")
    if state != "none":
        made = await converted(api, lead, ae)
        if state == "won":
            await advance(api, made["opportunity"]["id"], ae)
    return await api.reload(lead)


async def advance(api: Api, opportunity_id: str, ae: str) -> dict[str, Any]:
    """Takes an opportunity on until it is won."""
    path = f"/v1/opportunities/{opportunity_id}"
    for body in ({"action": "advance", "to": "negotiation"}, {"action": "win"}):
        await api.post(f"{path}/transitions", body, actor=ae)
    return dict(await api.get(path))


async def opportunities(api: Api, *leads: Lead) -> dict[str, dict[str, Any]]:
    found = [lead["links"]["opportunity_id"] for lead in leads if lead["links"]["opportunity_id"]]
    return {one: await api.get(f"/v1/opportunities/{one}") for one in found}


@pytest.mark.parametrize(("of_kept", "of_gone"), list(product(STATES, repeat=2)))
async def test_opportunities_of_both_leads_stay_go_on_and_are_restored(api: Api, of_kept: str, of_gone: str) -> None:
    ae = await api.user("ae")
    kept = await lead_with(api, of_kept, ae, "ana@nordsoft.ro")
    gone = await lead_with(api, of_gone, ae, "ana@wasko.pl")
    before = await opportunities(api, kept, gone)
    after = await merged(api, gone, kept)
    assert await opportunities(api, kept, gone) == before
    if before:
        assert after["links"]["opportunity_id"] in before
        assert (await api.reload(gone))["links"] == after["links"]
    else:
        assert after["links"]["opportunity_id"] is None
    for one, shown in before.items():
        if shown["class"] != "won":
            assert (await advance(api, one, ae))["class"] == "won"
            told = (await events(api, kept))[-1]
            assert (told.type, told.data["to"]) == ("opportunity.stage_changed", "won")
    assert await faults(api) == []
    await unmerged(api, gone)
    for lead in (kept, gone):
        assert (await api.reload(lead))["links"] == lead["links"]
        answer = await api.call("GET", f"/v1/leads/{lead['id']}/conversion")
        assert answer.status_code == (200 if lead["links"]["opportunity_id"] else 404)
        if answer.status_code == 200:
            made = answer.json()["conversion"]
            assert made["opportunity"]["id"] == lead["links"]["opportunity_id"]
            assert made["lead_id"] == lead["id"]
    assert await faults(api) == []


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_journey_that_goes_on_after_a_merge_is_converted_to_what_the_other_lead_was(
    api: Api, is_kept: bool
) -> None:
    ae = await api.user("ae")
    done = await lead_with(api, "open", ae, "ana@nordsoft.ro")
    running = await lead_with(api, "none", ae, "ana@wasko.pl")
    kept, gone = (done, running) if is_kept else (running, done)
    after = await merged(api, gone, kept)
    assert (after["stage"], after["links"]) == ("sql", done["links"])
    made = await converted(api, after, ae)
    assert made["lead_id"] == kept["id"]
    assert [made[name]["id"] for name in ("account", "contact")] == [
        done["links"][name] for name in ("account_id", "contact_id")
    ]
    assert await faults(api) == []
    await unmerged(api, gone)
    assert await faults(api) == []
    again = [await api.reload(lead) for lead in (done, running)]
    assert [lead["stage"] for lead in again] == ["converted", "converted"]
    assert again[0]["links"]["opportunity_id"] == done["links"]["opportunity_id"]
    assert again[1]["links"]["opportunity_id"] == made["opportunity"]["id"]
