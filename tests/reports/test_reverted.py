"""Reports about conversions that were taken back: as of before they are what they were, and later without them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, moved, mql
from tests.conversion.test_revert import reverted
from tests.merging.steps import faults

NAMES = ("funnel", "velocity", "sources", "pipeline", "forecast", "feedback", "accounts", "rules")


async def told(api: Api, name: str, at: str, since: str) -> Any:
    window = {} if name == "forecast" else {"from": since, "to": api.ago(days=-1)[:10]}
    return await api.get(f"/v1/reports/{name}", params={**window, "as_of": at})


def most(answer: Any, **named: str) -> int:
    """The highest count of the metrics of this name: of all cases, where it is shown for parts of them as well."""
    return max(
        one["numerator"] for one in answer["groups"][0]["metrics"] if {name: one[name] for name in named} == named
    )


@pytest.mark.parametrize("qualified", [True, False])
async def test_reports_as_of_before_a_revert_stay_and_later_ones_are_without_the_conversion(
    pipeline_api: Api, qualified: bool
) -> None:
    api = pipeline_api
    since = api.ago(days=40)[:10]
    sdr, ae, manager = await api.user("sdr"), await api.user("ae"), await api.user("manager")
    lead = await mql(api, email="anna@nordsoft.ro", company="Nordsoft")
    await moved(api, lead, "accept", sdr)
    headers = {"Idempotency-Key": "hand-over"}
    order = {"opportunity": {"amount": {"value": "12000.00", "currency": "EUR"}, "close_date": api.ago(days=-9)[:10]}}
    made = await moved(api, lead, "hand_over", sdr, bant=BANT, conversion=order, headers=headers)
    opportunity = made["conversion"]["opportunity"]["id"]
    if qualified:
        await api.post(f"/v1/opportunities/{opportunity}/transitions", {"action": "qualify", "bant": BANT}, actor=ae)
    before = pass_a_minute(api)
    was = {name: await told(api, name, before, since) for name in NAMES}
    shown = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": before})
    pass_a_minute(api)
    done = await reverted(api, lead, manager)
    after = pass_a_minute(api)
    assert {name: await told(api, name, before, since) for name in NAMES} == was
    assert await api.get(f"/v1/leads/{lead['id']}", params={"as_of": before}) == shown
    assert (shown["stage"], shown["links"]["opportunity_id"]) == ("converted", opportunity)
    now = {name: await told(api, name, after, since) for name in NAMES}
    assert [most(one["sources"], name="converted") for one in (was, now)] == [1, 0]
    assert [most(one["funnel"], **{"from": "mql", "to": "srl"}) for one in (was, now)] == [1, 0]
    stays = [one["type"] for one in done["left_in_place"]]
    assert stays == (["opportunity", "contact", "account"] if qualified else [])
    volume = "volume_qualified" if qualified else "volume_unqualified"
    assert [most(one["pipeline"], name=volume) for one in (was, now)] == [1, 1 if qualified else 0]
    history = (await api.get(f"/v1/opportunities/{opportunity}/history"))["data"]
    assert [one["archived_at"] is None for one in history] == ([True, True] if qualified else [True, False])
    assert await faults(api) == []


def pass_a_minute(api: Api) -> str:
    api.clock.ahead += timedelta(minutes=1)
    return api.now.isoformat().replace("+00:00", "Z")
