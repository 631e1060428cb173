"""Changes of a lead: fields, activities, BANT, owner."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from app import ids
from tests.api import Api


async def test_a_stale_if_match_is_refused_and_changes_nothing(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}"
    fresh = await api.call("PATCH", path, {"fields": {"company": "A"}}, headers={"If-Match": '"1"'})
    stale = await api.call("PATCH", path, {"fields": {"company": "B"}}, headers={"If-Match": '"1"'})
    weak = await api.call("PATCH", path, {"fields": {"company": "B"}}, headers={"If-Match": 'W/"1"'})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] == '"2"'
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (412, "version_conflict", 2)
    assert weak.status_code == 412
    assert (await api.reload(lead))["fields"]["company"] == "A"


async def test_a_changed_address_becomes_primary_and_the_old_one_stays(api: Api) -> None:
    lead = await api.lead(email="old@example.com")
    changed = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": "new@example.com"}})
    identities = {one["value"]: one["primary"] for one in (await api.reload(lead))["identities"]}
    assert changed.json()["fields"]["email"] == "new@example.com"
    assert identities == {"old@example.com": False, "new@example.com": True}
    assert (await api.lead(email="old@example.com"))["id"] == lead["id"]


async def test_an_address_of_another_lead_is_refused(api: Api) -> None:
    await api.lead(email="one@example.com")
    two = await api.lead(email="two@example.com")
    answer = await api.call("PATCH", f"/v1/leads/{two['id']}", {"fields": {"email": "one@example.com"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "identity_taken")
    assert (await api.reload(two))["version"] == 1


async def test_null_empties_a_field_and_the_lead_is_scored_again(api: Api) -> None:
    lead = await api.lead(job_title="Director", employees=120, industry="software")
    assert lead["score"]["fit"] == 50
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"industry": None}})
    assert answer.json()["fields"]["industry"] is None
    assert answer.json()["score"]["fit"] == 35


async def test_a_blank_empties_a_field_and_an_invalid_address_is_refused(api: Api) -> None:
    lead = await api.lead(first_name="Ana")
    path = f"/v1/leads/{lead['id']}"
    blank = (await api.call("PATCH", path, {"fields": {"email": "", "first_name": "  "}})).json()
    assert (blank["fields"]["email"], blank["fields"]["first_name"], blank["raw"]["email"]) == (None, None, None)
    wrong = await api.call("PATCH", path, {"fields": {"email": "not an address"}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "fields.email")
    assert (await api.reload(lead))["raw"]["email"] is None


async def test_a_patch_cannot_set_a_stage(api: Api) -> None:
    lead = await api.lead()
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"stage": "mql"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "stage"


async def test_an_activity_key_is_recorded_once(api: Api) -> None:
    lead = await api.lead()
    first = await api.add_activity(lead, "webinar", activity_key="w1")
    again = await api.call("POST", f"/v1/leads/{lead['id']}/activities", {"type": "webinar", "activity_key": "w1"})
    assert again.status_code == 200
    assert again.json()["id"] == first["id"]
    assert (await api.reload(lead))["score"]["engagement"] == 10


async def test_an_activity_in_the_future_is_refused(api: Api) -> None:
    lead = await api.lead()
    body = {"type": "webinar", "occurred_at": api.ago(days=-1)}
    answer = await api.call("POST", f"/v1/leads/{lead['id']}/activities", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "out_of_order")


async def test_only_a_person_confirms_bant(api: Api) -> None:
    lead, sdr = await api.lead(), await api.user("sdr")
    body = {"need": {"status": "confirmed", "value": "a CRM"}}
    machine = await api.call("PUT", f"/v1/leads/{lead['id']}/bant", body)
    person = await api.call("PUT", f"/v1/leads/{lead['id']}/bant", body, actor=sdr)
    assert (machine.status_code, machine.json()["code"]) == (403, "human_required")
    assert person.json()["need"]["confirmed_by"] == sdr
    assert person.json()["budget"]["status"] == "unknown"
    assert (await api.reload(lead))["score"]["temperature"] == "warm"


async def test_leads_are_found_by_address_name_and_stage(api: Api) -> None:
    lead = await api.lead(email="find@example.com", phone="+40215550100", company="Nordsoft")
    await api.lead()
    for query in ("email=FIND@example.com", "phone=%2B40215550100", "q=nords", "stage=inquiry&q=find"):
        found = (await api.get(f"/v1/leads?{query}"))["data"]
        assert [one["id"] for one in found] == [lead["id"]], query


async def test_pages_contain_every_lead_once_and_a_cursor_is_valid_for_its_list_only(api: Api) -> None:
    made = {(await api.lead())["id"] for _ in range(7)}
    seen: list[str] = []
    path = "/v1/leads?limit=3"
    while path:
        page = await api.get(path)
        seen += [one["id"] for one in page["data"]]
        path = f"/v1/leads?limit=3&cursor={page['next']}" if page["next"] else ""
    assert len(seen) == 7
    assert set(seen) == made
    cursor = (await api.get("/v1/leads?limit=3"))["next"]
    other = await api.call("GET", f"/v1/leads?stage=mql&cursor={cursor}")
    broken = await api.call("GET", "/v1/leads?cursor=nonsense")
    assert other.json()["code"] == broken.json()["code"] == "cursor_invalid"
    assert other.json()["errors"][0]["field"] == broken.json()["errors"][0]["field"] == "cursor"


async def test_the_owner_must_be_an_active_user(api: Api) -> None:
    lead, sdr = await api.lead(), await api.user("sdr")
    path = f"/v1/leads/{lead['id']}"
    assert (await api.call("PATCH", path, {"owner_id": sdr})).json()["owner_id"] == sdr
    await api.call("PATCH", f"/v1/users/{sdr}", {"active": False})
    refused = await api.call("PATCH", path, {"owner_id": sdr})
    assert (refused.status_code, refused.json()["code"]) == (422, "owner_invalid")
    assert refused.json()["errors"][0]["field"] == "owner_id"


async def test_two_addresses_in_one_field_are_two_identities_and_the_first_is_primary(api: Api) -> None:
    lead = await api.lead(email="old@example.com")
    for _ in range(2):
        fields = {"email": "first@example.com; second@example.com"}
        answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": fields})
        assert answer.status_code == 200
    shown = {one["value"]: one["primary"] for one in (await api.reload(lead))["identities"]}
    assert shown == {"old@example.com": False, "first@example.com": True, "second@example.com": False}


@pytest.mark.parametrize(
    "body", [{}, {"fields": {"email": "same@example.com"}}, {"custom": {"size": "L"}}, {"owner_id": None}]
)
async def test_a_patch_that_changes_nothing_makes_no_version_and_no_event(api: Api, body: dict[str, Any]) -> None:
    lead = await api.lead(email="same@example.com")
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"custom": {"size": "L"}})
    before = await api.reload(lead)
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", body)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert await api.reload(lead) == before
    assert [one["lead_version"] for one in await events_of(api, lead)][-1] == 2


async def test_empty_bant_makes_no_version(api: Api) -> None:
    lead, sdr = await api.lead(), await api.user("sdr")
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/bant", {}, actor=sdr)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')


async def test_interest_reported_late_opens_a_journey_that_begins_when_the_closed_one_ended(api: Api) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    assert (await api.ask(lead, "disqualify", sdr, reason_code="bad_fit")).status_code == 201
    await api.add_activity(lead, "case_study", occurred_at=api.ago(days=1))
    first, second = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert second["opened_at"] == first["closed_at"]


async def test_an_activity_key_is_recorded_once_even_with_500_later_activities(api: Api) -> None:
    lead = await api.lead(email="busy@example.com")
    await api.add_activity(lead, "webinar", activity_key="first", occurred_at=api.ago(days=9))
    later = [{"email": "busy@example.com", "type": "page_view"} for _ in range(500)]
    await api.post("/v1/activities", {"activities": later})
    before = await api.reload(lead)
    again = {"type": "webinar", "activity_key": "first"}
    (result,) = (await api.post("/v1/activities", {"activities": [{"email": "busy@example.com", **again}]}))["data"]
    assert result["recorded"] is False
    await api.call("POST", "/v1/leads", {"fields": {"email": "busy@example.com"}, "activity": again})
    activity_events = [one for one in await events_of(api, lead) if one["type"] == "lead.activity"]
    assert len(activity_events) == 502
    assert (await api.reload(lead))["score"]["engagement"] == before["score"]["engagement"]


async def events_of(api: Api, lead: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a lead, oldest first."""
    statement = text(
        "SELECT type, lead_version, CAST(data AS jsonb) AS data FROM events WHERE lead_id = :id ORDER BY seq"
    )
    async with api.app.state.engine.connect() as tx:
        rows = await tx.execute(statement, {"id": ids.read("lead", lead["id"])})
        return [dict(row._mapping) for row in rows]


async def test_the_number_of_custom_fields_is_limited(api: Api) -> None:
    lead, path = await api.lead(), "/v1/leads"
    for round_ in range(6):
        answers = {f"q{round_}-{n}": "x" for n in range(190)}
        await api.post(path, {"fields": {"email": lead["fields"]["email"]}, "custom": answers}, status=200)
    assert len((await api.reload(lead))["custom"]) == 1000
    more = await api.call("PATCH", f"{path}/{lead['id']}", {"custom": {"one more": "x"}})
    assert more.status_code == 422
    assert more.json()["errors"][0]["field"] == "custom"


async def test_an_external_id_with_several_colons_is_found(api: Api) -> None:
    made = await api.post("/v1/leads", {"fields": {}, "external_ids": {"hubspot:vid": "urn:x:1"}})
    found = await api.get("/v1/leads", params={"external_id": "hubspot:vid:urn:x:1"})
    assert [one["id"] for one in found["data"]] == [made["id"]]
