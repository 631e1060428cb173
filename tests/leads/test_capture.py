"""Arrivals of the same person are matched to one lead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import Api


async def test_a_new_person_becomes_a_lead_at_inquiry(api: Api) -> None:
    answer = await api.call("POST", "/v1/leads", {"fields": {"email": "Anna@Nordsoft.ro", "full_name": "Anna Z"}})
    lead = answer.json()
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert (lead["stage"], lead["version"], lead["journey_no"], lead["seq"]) == ("inquiry", 1, 1, 1)
    assert lead["fields"]["email"] == "anna@nordsoft.ro"
    assert lead["raw"]["email"] == "Anna@Nordsoft.ro"
    assert lead["identities"] == [{"kind": "email", "value": "anna@nordsoft.ro", "namespace": "", "primary": True}]


async def test_a_known_person_is_matched_and_only_empty_fields_are_filled(api: Api) -> None:
    first = await api.lead(email="anna@nordsoft.ro", company="Nordsoft")
    answer = await api.call(
        "POST", "/v1/leads", {"fields": {"email": "ANNA@nordsoft.ro", "company": "Other", "phone": "+40215550100"}}
    )
    again = answer.json()
    assert answer.status_code == 200
    assert again["id"] == first["id"]
    assert again["version"] == 2
    assert again["fields"]["company"] == "Nordsoft"
    assert again["fields"]["phone"] == "+40215550100"


async def test_a_lead_is_matched_by_its_external_id(api: Api) -> None:
    body = {"fields": {"full_name": "Ion"}, "external_ids": {"crm": "42"}}
    first = await api.post("/v1/leads", body)
    second = await api.call("POST", "/v1/leads", {**body, "fields": {"email": "ion@example.com"}})
    assert second.status_code == 200
    assert second.json()["id"] == first["id"]


async def test_two_people_with_the_same_phone_number_only_are_two_leads(api: Api) -> None:
    one = await api.lead(email="ana@firma.ro", phone="+40215550100", first_name="Ana", last_name="Pop")
    two = await api.lead(email="dan@firma.ro", phone="+40215550100", first_name="Dan", last_name="Ionescu")
    assert one["id"] != two["id"]
    assert two["duplicate_suspected"]


async def test_a_lead_without_an_identity_is_refused(api: Api) -> None:
    answer = await api.call("POST", "/v1/leads", {"fields": {"company": "Nobody"}})
    assert answer.status_code == 422
    assert answer.json()["code"] == "identity_required"
    assert (await api.get("/v1/leads"))["data"] == []


async def test_thirty_parallel_requests_for_one_new_person_make_one_lead(api: Api) -> None:
    body = {"fields": {"email": "one@example.com", "full_name": "One"}}
    answers = await asyncio.gather(*(api.call("POST", "/v1/leads", body) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1
    lead = (await api.get("/v1/leads"))["data"][0]
    assert lead["version"] == 30


async def test_the_first_touch_stays_and_the_last_touch_is_replaced(api: Api) -> None:
    body = {"fields": {"email": "t@example.com"}, "attribution": {"source": "google", "campaign": "one"}}
    await api.post("/v1/leads", body)
    again = await api.post("/v1/leads", {**body, "attribution": {"source": "linkedin"}}, status=200)
    assert again["attribution"]["first"]["source"] == "google"
    assert again["attribution"]["last"]["source"] == "linkedin"


async def test_unknown_consent_does_not_replace_given_consent(api: Api) -> None:
    given = [{"purpose": "email_marketing", "state": "given", "text": "Yes, write to me"}]
    await api.post("/v1/leads", {"fields": {"email": "c@example.com"}, "consents": given})
    unknown = [{"purpose": "email_marketing", "state": "unknown"}]
    lead = await api.post("/v1/leads", {"fields": {"email": "c@example.com"}, "consents": unknown}, status=200)
    assert lead["consents"] == {"email_marketing": "given"}


async def test_the_events_of_a_capture_are_in_order_and_have_one_version(api: Api) -> None:
    lead = await api.lead(email="e@example.com")
    async with api.app.state.engine.connect() as tx:
        from sqlalchemy import text

        rows = (await tx.execute(text("SELECT type, lead_version, tx_index, tx_size FROM events ORDER BY seq"))).all()
    assert [row.type for row in rows] == ["lead.captured", "lead.activity", "lead.stage_changed"]
    assert {row.lead_version for row in rows} == {1}
    assert [row.tx_index for row in rows] == [1, 2, 3]
    assert lead["version"] == 1


async def test_a_late_form_does_not_override_a_consent_that_was_withdrawn_after_it(api: Api) -> None:
    lead = await api.lead(email="late@example.com")
    withdrawn = {"consents": [{"purpose": "email_marketing", "state": "withdrawn"}]}
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", withdrawn)).status_code == 200
    late = {
        "fields": {"email": "late@example.com"},
        "consents": [{"purpose": "email_marketing", "state": "given"}],
        "occurred_at": api.ago(days=1),
    }
    again = await api.post("/v1/leads", late, status=200)
    assert again["consents"] == {"email_marketing": "withdrawn"}
    log = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    assert [line["state"] for line in log] == ["withdrawn", "given"], "the log has both"


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ({"occurred_at": 1}, ["occurred_at"]),
        ({"activity": 1}, ["activity.occurred_at"]),
        ({"occurred_at": 1, "activity": 1}, ["occurred_at", "activity.occurred_at"]),
        ({"occurred_at": 1, "activity": -1}, ["occurred_at"]),
    ],
)
async def test_a_time_in_the_future_is_refused_by_the_name_of_its_field(
    api: Api, times: dict[str, int], named: list[str]
) -> None:
    body: dict[str, Any] = {"fields": {"email": "future@example.com"}}
    if "occurred_at" in times:
        body["occurred_at"] = api.ago(days=-times["occurred_at"])
    if "activity" in times:
        body["activity"] = {"type": "call", "occurred_at": api.ago(days=-times["activity"])}
    answer = (await api.call("POST", "/v1/leads", body)).json()
    assert (answer["code"], [error["field"] for error in answer["errors"]]) == ("out_of_order", named)
