"""What is known of a lead changes by its own rules: fields, activities, BANT, owner."""

from __future__ import annotations

from tests.api import Api


async def test_a_stale_if_match_is_refused_and_changes_nothing(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}"
    fresh = await api.call("PATCH", path, {"fields": {"company": "A"}}, headers={"If-Match": '"1"'})
    stale = await api.call("PATCH", path, {"fields": {"company": "B"}}, headers={"If-Match": '"1"'})
    weak = await api.call("PATCH", path, {"fields": {"company": "B"}}, headers={"If-Match": 'W/"2"'})
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


async def test_an_address_of_another_lead_is_taken(api: Api) -> None:
    await api.lead(email="one@example.com")
    two = await api.lead(email="two@example.com")
    answer = await api.call("PATCH", f"/v1/leads/{two['id']}", {"fields": {"email": "one@example.com"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "identity_taken")
    assert (await api.reload(two))["version"] == 1


async def test_null_empties_a_field_and_the_score_follows(api: Api) -> None:
    lead = await api.lead(job_title="Director", employees=120, industry="software")
    assert lead["score"]["fit"] == 50
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"industry": None}})
    assert answer.json()["fields"]["industry"] is None
    assert answer.json()["score"]["fit"] == 35


async def test_a_patch_cannot_name_a_stage(api: Api) -> None:
    lead = await api.lead()
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"stage": "mql"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "stage"


async def test_an_activity_key_makes_an_activity_once(api: Api) -> None:
    lead = await api.lead()
    first = await api.act(lead, "webinar", activity_key="w1")
    again = await api.call("POST", f"/v1/leads/{lead['id']}/activities", {"type": "webinar", "activity_key": "w1"})
    assert again.status_code == 200
    assert again.json()["id"] == first["id"]
    assert (await api.reload(lead))["score"]["engagement"] == 10


async def test_an_activity_of_tomorrow_is_refused(api: Api) -> None:
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


async def test_leads_are_found_by_what_names_them(api: Api) -> None:
    lead = await api.lead(email="find@example.com", phone="+40215550100", company="Nordsoft")
    await api.lead()
    for query in ("email=FIND@example.com", "phone=%2B40215550100", "q=nords", "stage=inquiry&q=find"):
        found = (await api.get(f"/v1/leads?{query}"))["data"]
        assert [one["id"] for one in found] == [lead["id"]], query


async def test_pages_hold_every_lead_once_and_a_cursor_knows_its_list(api: Api) -> None:
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


async def test_the_owner_is_an_active_user(api: Api) -> None:
    lead, sdr = await api.lead(), await api.user("sdr")
    path = f"/v1/leads/{lead['id']}"
    assert (await api.call("PATCH", path, {"owner_id": sdr})).json()["owner_id"] == sdr
    await api.call("PATCH", f"/v1/users/{sdr}", {"active": False})
    refused = await api.call("PATCH", path, {"owner_id": sdr})
    assert (refused.status_code, refused.json()["code"]) == (422, "owner_invalid")
