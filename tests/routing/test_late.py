"""Who acts too late is told why the lead was taken, by the refused request and by the eligibility."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api import Api
from tests.routing.test_partners import assignment, offered, pass_minutes
from tests.routing.test_routes import with_clock

POOLS = [{"method": "pool", "team": "alpine"}, {"method": "pool", "team": "inside"}]


async def why(api: Api, lead: dict[str, Any], user: str) -> dict[str, Any]:
    """The condition `owner` that refuses to let the user accept."""
    refused = await api.ask(lead, "accept", user)
    assert (refused.status_code, refused.json()["code"]) == (422, "criteria_unmet"), refused.text
    found = next(one for one in refused.json()["unmet"] if one["criterion"] == "owner")
    eligible = await api.get(f"/v1/leads/{lead['id']}/eligibility", headers={"Baton-Actor": user})
    accept = next(one for one in eligible["actions"] if one["action"] == "accept")
    assert found in accept["unmet"]
    for told in ("accept_by", "due_at"):
        assert told not in found or found[told] in refused.json()["detail"]
    return dict(found)


@pytest.mark.parametrize("to", [None, POOLS], ids=["to its users in turn", "to its pool"])
@pytest.mark.parametrize("minutes", [[61], [61, 0], [61, 0, 31, 0]], ids=["no worker ran", "one ran", "it went on"])
async def test_a_partner_who_accepts_too_late_is_told_until_when_it_could(
    api: Api, to: list[dict[str, Any]] | None, minutes: list[int]
) -> None:
    alpine = await api.user("sdr", team="alpine")
    await api.user("sdr", team="baltic")
    stranger = await api.user("sdr", team="elsewhere")
    lead = await offered(api, to)
    until = (await assignment(api, lead))["accept_by"]
    for number, passed in enumerate(minutes):
        api.clock.ahead += timedelta(minutes=passed)
        if number % 2:
            await pass_minutes(api, 0)
    told = await why(api, lead, alpine)
    assert (told["reason"], told["accept_by"]) == ("not_accepted_in_time", until)
    assert "reason" not in await why(api, lead, stranger)


async def test_an_owner_from_whom_a_clock_took_the_lead_is_told_which_one_and_when(api: Api) -> None:
    first, second = await api.user("sdr", team="inside"), await api.user("sdr", team="inside")
    await api.publish(with_clock(60))
    lead = await api.mql()
    late, other = (first, second) if lead["owner_id"] == first else (second, first)
    due_at = (await api.reload(lead))["sla"]["due_at"]
    await pass_minutes(api, 61)
    told = await why(api, lead, late)
    assert (told["reason"], told["clock"], told["due_at"]) == ("clock_breached", "response", due_at)
    assert (await api.ask(lead, "accept", other)).status_code == 201
