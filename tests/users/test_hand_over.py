"""Deactivating a user: what the user owned, and to whom it goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from app.journeys.verify import verify
from app.users import hand_over
from tests.api import Api
from tests.conversion.steps import converted, mql, sql_lead
from tests.journeys.test_time import events_of_type

NOBODY = "usr_01k00000000000000000000000"


async def deactivate(api: Api, user: str, **members: Any) -> Any:
    return await api.call("PATCH", f"/v1/users/{user}", {"active": False, **members})


async def owned(api: Api, user: str) -> dict[str, Any]:
    """Three open leads, one that is closed, and one open and two closed deals of the user, by name."""
    manager = await api.user("manager")
    leads = [await api.lead() for _ in range(3)]
    for lead in leads:
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": user})
    closed = await mql(api)
    await api.call("PATCH", f"/v1/leads/{closed['id']}", {"owner_id": user})
    await api.ask(closed, "disqualify", manager, reason_code="no_need")
    deals = [(await api.post("/v1/opportunities", {"name": f"D{n}", "owner_id": user}))["id"] for n in range(3)]
    ae = await api.user("ae")
    bant = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
    await api.post(f"/v1/opportunities/{deals[1]}/transitions", {"action": "qualify", "bant": bant}, actor=ae)
    await api.post(f"/v1/opportunities/{deals[1]}/transitions", {"action": "win"}, actor=ae)
    await api.call("PATCH", f"/v1/opportunities/{deals[2]}", {"archived": True})
    return {"leads": leads, "closed": closed, "open deal": deals[0], "won deal": deals[1], "archived deal": deals[2]}


async def owners(api: Api, work: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"leads": {(await api.reload(lead))["owner_id"] for lead in work["leads"]}}
    found["closed"] = (await api.reload(work["closed"]))["owner_id"]
    for name in ("open deal", "won deal", "archived deal"):
        found[name] = (await api.get(f"/v1/opportunities/{work[name]}"))["owner_id"]
    return found


async def test_deactivating_answers_what_the_user_still_owns(api: Api) -> None:
    sdr = await api.user("sdr")
    work = await owned(api, sdr)
    before = await owners(api, work)
    answer = (await deactivate(api, sdr)).json()
    assert (answer["active"], answer["id"]) == (False, sdr)
    assert (answer["open_leads"], answer["open_opportunities"], answer["handed_to"]) == (3, 1, None)
    assert await owners(api, work) == before
    renamed = (await api.call("PATCH", f"/v1/users/{sdr}", {"name": "Left"})).json()
    assert "open_leads" not in renamed, "only a deactivation counts"


@pytest.mark.parametrize("to", ["sdr", "ae", "manager", "pool"])
async def test_open_leads_and_deals_are_handed_over_with_their_events(api: Api, to: str) -> None:
    sdr = await api.user("sdr")
    heir = "pool" if to == "pool" else await api.user(to)
    work = await owned(api, sdr)
    versions = {lead["id"]: (await api.reload(lead))["version"] for lead in work["leads"]}
    deal_version = (await api.get(f"/v1/opportunities/{work['open deal']}"))["version"]
    told = len(await events_of_type(api, "lead.assigned"))
    answer = await deactivate(api, sdr, hand_to=heir)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["open_leads"], shown["open_opportunities"], shown["handed_to"]) == (3, 1, heir)
    new_owner = None if to == "pool" else heir
    assert await owners(api, work) == {
        "leads": {new_owner},
        "closed": sdr,
        "open deal": new_owner,
        "won deal": sdr,
        "archived deal": sdr,
    }
    assert {lead["id"]: (await api.reload(lead))["version"] - 1 for lead in work["leads"]} == versions
    assert (await api.get(f"/v1/opportunities/{work['open deal']}"))["version"] == deal_version + 1
    events = (await events_of_type(api, "lead.assigned"))[told:]
    assert {event["lead_id"] for event in events} == set(versions)
    pool = "sdr" if to == "pool" else None
    assert {(one["owner_id"], one["previous_owner_id"], one["pool"]) for one in events} == {(new_owner, sdr, pool)}
    assert [one.faults async for one in verify(api.app.state.engine) if one.faults] == []


async def test_the_past_of_a_lead_that_was_handed_over_is_still_told_right(api: Api) -> None:
    sdr, heir, lead = await api.user("sdr"), await api.user("sdr"), await api.lead()
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    at, then = api.ago(), await api.reload(lead)
    await asyncio.sleep(0.01)
    await deactivate(api, sdr, hand_to=heir)
    assert await api.get(f"/v1/leads/{lead['id']}", params={"as_of": at}) == then


async def test_a_lead_handed_over_is_not_returned_to_who_left(pipeline_api: Api) -> None:
    api = pipeline_api
    gone, ae, lead = await api.user("sdr"), await api.user("ae"), await mql(api)
    await api.ask(lead, "accept", gone)
    await deactivate(api, gone, hand_to="pool")
    bant = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
    await api.ask(lead, "hand_over", await api.user("sdr"), bant=bant, owner_id=ae, conversion=False)
    back = (await api.ask(lead, "return", ae, reason_code="no_need")).json()["lead"]
    assert (back["stage"], back["owner_id"]) == ("sal", None)


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"active": False, "hand_to": "himself"}, "owner_invalid", "hand_to"),
        ({"active": False, "hand_to": "marketing"}, "owner_invalid", "hand_to"),
        ({"active": False, "hand_to": "admin"}, "owner_invalid", "hand_to"),
        ({"active": False, "hand_to": "inactive"}, "owner_invalid", "hand_to"),
        ({"active": False, "hand_to": NOBODY}, "owner_invalid", "hand_to"),
        ({"active": False, "hand_to": "pools"}, "request_invalid", "hand_to"),
        ({"active": False, "hand_to": 7}, "request_invalid", "hand_to"),
        ({"active": False, "hand_to": ["pool"]}, "request_invalid", "hand_to"),
        ({"active": False, "hand_to": ""}, "request_invalid", "hand_to"),
        ({"active": True, "hand_to": "pool"}, "request_invalid", "hand_to"),
        ({"hand_to": "pool"}, "request_invalid", "hand_to"),
        ({"hand_to": "ae", "name": "Left"}, "request_invalid", "hand_to"),
    ],
    ids=str,
)
async def test_a_hand_over_that_cannot_be_is_refused_and_changes_nothing(
    api: Api, members: dict[str, Any], code: str, field: str
) -> None:
    sdr, lead = await api.user("sdr"), await api.lead()
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    users = {role: await api.user(role) for role in ("marketing", "admin", "ae")}
    users |= {"himself": sdr, "inactive": await api.user("sdr", active=False)}
    heir = members.get("hand_to")
    body = {**members, "hand_to": users.get(heir, heir) if isinstance(heir, str) else heir}
    answer = await api.call("PATCH", f"/v1/users/{sdr}", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert (await api.get(f"/v1/users/{sdr}"))["active"] is True
    assert (await api.reload(lead))["owner_id"] == sdr


async def test_a_stale_version_hands_nothing_over(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.lead()
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    body = {"active": False, "hand_to": "pool"}
    answer = await api.call("PATCH", f"/v1/users/{sdr}", body, headers={"If-Match": '"9"'})
    assert answer.status_code == 412
    assert (await api.reload(lead))["owner_id"] == sdr


async def test_who_is_inactive_already_can_hand_over_what_is_left(api: Api) -> None:
    sdr, heir, lead = await api.user("sdr"), await api.user("sdr"), await api.lead()
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    assert (await deactivate(api, sdr)).json()["open_leads"] == 1
    assert (await deactivate(api, sdr, hand_to=heir)).json()["open_leads"] == 1
    assert (await deactivate(api, sdr, hand_to=heir)).json()["open_leads"] == 0
    assert (await api.reload(lead))["owner_id"] == heir


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
async def test_any_number_of_leads_is_handed_over_in_batches(
    api: Api, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(hand_over, "BATCH", 4)
    sdr, heir = await api.user("sdr"), await api.user("ae")
    for _ in range(count):
        lead = await api.lead()
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    assert (await deactivate(api, sdr, hand_to=heir)).json()["open_leads"] == count
    assert len((await api.get("/v1/leads", params={"owner_id": heir, "limit": 100}))["data"]) == count
    assert (await api.get("/v1/leads", params={"owner_id": sdr}))["data"] == []


async def test_more_leads_than_one_request_can_move_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_over, "MOST_LEADS", 2)
    sdr = await api.user("sdr")
    await owned(api, sdr)
    answer = await deactivate(api, sdr, hand_to="pool")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "hand_to")
    assert (await api.get(f"/v1/users/{sdr}"))["active"] is True


async def test_thousands_of_leads_are_handed_over_within_the_time_of_one_request(api: Api) -> None:
    sdr, heir = await api.user("sdr"), await api.user("sdr")
    lead = await mql(api)
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    async with api.app.state.engine.begin() as tx:
        for table, columns in (
            ("leads", "id"),
            ("journeys", "id, lead_id"),
            ("transitions", "journey_id, id, lead_id"),
        ):
            changed = ", ".join(f"'{name}', md5(t.{name}::text || n)::uuid" for name in columns.split(", "))
            once = "" if table != "transitions" else "JOIN journeys j ON j.id = t.journey_id AND j.seq = t.seq"
            await tx.execute(
                text(
                    f"INSERT INTO {table} SELECT r.* FROM {table} t {once} CROSS JOIN generate_series(1, 1999) n,"
                    f" jsonb_populate_record(t, jsonb_build_object({changed})) r"
                )
            )
    answer = await deactivate(api, sdr, hand_to=heir)
    assert (answer.status_code, answer.json()["open_leads"]) == (200, 2000)
    assert len(await events_of_type(api, "lead.assigned")) >= 2000


async def test_another_tenants_user_gets_nothing(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "other"})
    key = other["key"]["secret"]
    body = {"name": "Dan", "email": "dan@other.example", "role": "sdr"}
    stranger = (await api.post("/v1/users", body, key=key))["id"]
    sdr = await api.user("sdr")
    answer = await deactivate(api, sdr, hand_to=stranger)
    assert (answer.status_code, answer.json()["code"]) == (422, "owner_invalid")
    assert (await api.call("PATCH", f"/v1/users/{sdr}", {"active": False}, key=key)).status_code == 404


async def test_a_deal_of_a_converted_lead_is_handed_over_although_the_lead_is_closed(api: Api) -> None:
    ae, heir = await api.user("ae"), await api.user("ae")
    made = await converted(api, await sql_lead(api, ae), ae)
    answer = (await deactivate(api, ae, hand_to=heir)).json()
    assert (answer["open_leads"], answer["open_opportunities"]) == (0, 1)
    assert (await api.get(f"/v1/opportunities/{made['opportunity']['id']}"))["owner_id"] == heir
