"""The filters of GET /v1/leads."""

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import converted, sql_lead


async def found(api: Api, **filters: str) -> set[str]:
    answer = await api.call("GET", "/v1/leads", params=filters)
    assert answer.status_code == 200, answer.text
    return {lead["id"] for lead in answer.json()["data"]}


async def arrive(api: Api, email: str, **attribution: str) -> dict[str, Any]:
    answer = await api.call("POST", "/v1/leads", {"fields": {"email": email}, "attribution": attribution})
    return dict(answer.json())


async def test_campaign_is_that_of_the_first_or_the_last_touch(api: Api) -> None:
    spring = await arrive(api, "a@nordsoft.ro", source="ads", campaign="Spring")
    both = await arrive(api, "b@nordsoft.ro", source="ads", campaign="Spring")
    await arrive(api, "b@nordsoft.ro", source="ads", campaign="Summer")
    await arrive(api, "c@nordsoft.ro", source="ads")
    assert await found(api, campaign="Spring") == {spring["id"], both["id"]}
    assert await found(api, campaign="Summer") == {both["id"]}
    for nothing in ("spring", "Spr", "%", "S_ring"):
        assert await found(api, campaign=nothing) == set()


async def test_account_id_finds_the_leads_converted_to_it(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email="anna@nordsoft.ro", company="Nordsoft")
    await api.lead(email="mara@nordsoft.ro")
    made = await converted(api, lead, ae)
    assert await found(api, account_id=made["account"]["id"]) == {lead["id"]}
    other = await api.post("/v1/accounts", {"name": "Other"})
    assert await found(api, account_id=other["id"]) == set()


@pytest.mark.parametrize("member", ["created", "updated"])
async def test_after_and_before_leave_the_instant_itself_out(api: Api, member: str) -> None:
    leads = []
    for _ in range(3):
        leads.append(await api.lead())
        api.clock.ahead += timedelta(hours=1)
    instants = {lead["id"]: datetime.fromisoformat(lead[f"{member}_at"]) for lead in leads}
    for low, high in product(instants.values(), repeat=2):
        filters = {f"{member}_after": low.isoformat(), f"{member}_before": high.isoformat()}
        if low < high:
            assert await found(api, **filters) == {lead_id for lead_id, at in instants.items() if low < at < high}
        else:
            assert (await api.call("GET", "/v1/leads", params=filters)).status_code == 422
        assert await found(api, **{f"{member}_after": low.isoformat()}) == {
            one for one in instants if instants[one] > low
        }


async def test_a_cursor_belongs_to_its_filters(api: Api) -> None:
    for n in range(2):
        await arrive(api, f"a{n}@nordsoft.ro", campaign="Spring")
    cursor = (await api.get("/v1/leads?campaign=Spring&limit=1"))["next"]
    assert len((await api.get(f"/v1/leads?campaign=Spring&cursor={cursor}"))["data"]) == 1
    for other in ("campaign=Summer&", "", "created_after=2026-01-01T00:00:00Z&campaign=Spring&"):
        assert (await api.call("GET", f"/v1/leads?{other}cursor={cursor}")).status_code == 422
