"""An export has everything that is stored about one person, and nothing of anybody else."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy import text

from app import ids
from app.erasure.personal import TABLES
from app.exports.person import person_of_lead
from app.exports.sections import NOT_EXPORTED, SECTIONS, json_schema
from app.exports.write import write_document
from app.tenants.create import create_key
from tests.api import Api
from tests.merging.steps import merged
from tests.submissions.sender import make_sender

ANA, BOB = "ana.pop@nordsoft.example", "bob@other.example"
MANY = text(
    """
    INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at, properties)
    SELECT :tenant_id, gen_random_uuid(), :lead_id, 'many-' || n, 'visit', 'interest', now(), now(),
           jsonb_build_object('text', repeat('x', 1000)) FROM generate_series(1, 10000) n
    """
)
SPAM = {"email": ANA, "name": "Ana Spam", "_gotcha": "x", "phone": "+40 21 555 0199"}


async def of_lead(api: Api, lead: str) -> dict[str, Any]:
    found = dict(await api.get(f"/v1/leads/{lead}/export"))
    jsonschema_rs.validator_for(json_schema()).validate(found)
    return found


async def of_identity(api: Api, **identity: str) -> dict[str, Any]:
    found = dict(await api.post("/v1/exports", {"identity": identity}, status=200))
    jsonschema_rs.validator_for(json_schema()).validate(found)
    return found


def ids_of(found: dict[str, Any], section: str) -> set[str]:
    return {row["id"] for row in found[section]}


def test_every_table_with_personal_data_is_exported_or_has_a_reason() -> None:
    personal = {name for name, table in TABLES.items() if table.rows is not None}
    exported = [section.table for section in SECTIONS]
    assert len(set(exported)) == len(exported)
    assert set(exported).isdisjoint(NOT_EXPORTED)
    assert personal == {*exported, *NOT_EXPORTED}
    assert all(NOT_EXPORTED.values())


async def test_an_export_has_all_that_was_recorded_of_a_lead_and_nothing_of_another(api: Api) -> None:
    form = await make_sender(api)
    made = await form.post_and_process({"email": ANA, "name": "Ana Pop", "newsletter": "yes", "plan": "Gold"})
    lead = made["items"][0]["lead_id"]
    await form.post_and_process({"email": BOB, "name": "Bob Other", "message": "of-bob"})
    await api.add_activity({"id": lead}, "demo_request", properties={"seats": "seventeen"})
    await api.call("PATCH", f"/v1/leads/{lead}", {"fields": {"company": "Nordsoft"}})
    await api.post(f"/v1/leads/{lead}/withdrawal-links", {"purposes": ["phone"]})
    found = await of_lead(api, lead)
    assert found["leads_of"] == [lead] == [row["id"] for row in found["leads"]]
    assert found["leads"][0]["fields"]["company"] == "Nordsoft"
    assert {row["value"] for row in found["identities"]} == {ANA}
    assert "seventeen" in {row["properties"].get("seats") for row in found["activities"]}
    assert [row["purpose"] for row in found["consents"]] == ["email_marketing"]
    assert ids_of(found, "submissions") == {made["id"]}
    assert found["submission_items"][0]["mapped"]["custom"]["plan"] == "Gold"
    for section in ("touches", "journeys", "transitions", "lead_changes", "withdrawal_links"):
        assert found[section], section
    for absent in (BOB, "of-bob", "secret_sha256", "tenant_id"):
        assert absent not in json.dumps(found)


async def test_a_zip_has_the_document_and_each_submission_as_it_came(api: Api) -> None:
    form = await make_sender(api)
    body = json.dumps({"email": ANA, "name": "Ana Pop  ", "odd": [1, {"ţ": None}]}, ensure_ascii=False).encode()
    made = await form.post_and_process(body, Content_Type="application/json")
    path = f"/v1/leads/{made['items'][0]['lead_id']}/export"
    by_accept = await api.call("GET", path, headers={"Accept": "application/zip"})
    by_format = await api.call("GET", f"{path}?format=zip")
    for answer in (by_accept, by_format):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
            assert packed.testzip() is None
            folder = f"submissions/{made['id']}"
            assert set(packed.namelist()) == {"export.json", f"{folder}/request.json", f"{folder}/body"}
            assert packed.read(f"{folder}/body") == body
            assert json.loads(packed.read(f"{folder}/request.json"))["method"] == "POST"
            assert json.loads(packed.read("export.json"))["leads_of"] == [made["items"][0]["lead_id"]]
    assert (await api.call("GET", f"{path}?format=json", headers={"Accept": "application/zip"})).json()["leads"]


async def test_a_request_with_other_people_in_it_is_not_given_away(api: Api) -> None:
    form = await make_sender(api, overrides={"items": "body.people"})
    two = {"people": [{"email": ANA, "name": "Ana Pop"}, {"email": BOB, "name": "Bob Other"}]}
    made = await form.post_and_process(two)
    lead = made["items"][0]["lead_id"]
    found = await of_lead(api, lead)
    assert [(row["index"], row["lead_id"]) for row in found["submission_items"]] == [(0, lead)]
    assert BOB not in json.dumps(found)
    answer = await api.call("GET", f"/v1/leads/{lead}/export?format=zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.namelist() == ["export.json"]


async def test_a_person_is_found_by_each_identity_with_the_leads_merged_into_theirs(api: Api) -> None:
    gone = await api.lead(email="ana@home.example")
    body = {"fields": {"email": ANA, "phone": "+40 722 555 010"}, "external_ids": {"crm:lead": "77"}}
    kept = await api.post("/v1/leads", body)
    await api.add_activity(gone, "webinar", activity_key="of-the-merged")
    await merged(api, gone, kept)
    both = {gone["id"], kept["id"]}
    for identity in (
        {"email": "Ana.Pop@Nordsoft.example"},
        {"email": "ana@home.example"},
        {"phone": "+40 722 555 010"},
        {"external_id": "crm:lead:77"},
        {"email": ANA, "external_id": "crm:lead:77"},
    ):
        found = await of_identity(api, **identity)
        assert set(found["leads_of"]) == both, identity
        assert {row["activity_key"] for row in found["activities"]} >= {"of-the-merged"}
    for lead in both:
        assert set((await of_lead(api, lead))["leads_of"]) == both


async def test_submissions_in_quarantine_and_spam_are_those_of_the_person_that_they_name(api: Api) -> None:
    form = await make_sender(api, preset="html-form")
    spam = await form.post_and_process(SPAM)
    other = await form.post_and_process({**SPAM, "email": BOB})
    broken = await (await make_sender(api, overrides={"items": "body.nothing[0].x"})).post_and_process({"email": ANA})
    coded = await (await make_sender(api, overrides={"parse": {"formats": ["json"]}})).post_and_process(
        f"email={ANA.replace('@', '%40')}", Content_Type="application/x-www-form-urlencoded"
    )
    assert [one["items"][0]["verdict"] for one in (spam, other)] == ["spam", "spam"]
    assert coded["state"] == "quarantined"
    found = await of_identity(api, email=ANA)
    wanted = {spam["id"], coded["id"], *({broken["id"]} if broken["state"] == "quarantined" else ())}
    assert ids_of(found, "submissions") == wanted
    assert found["leads_of"] == []
    assert BOB not in json.dumps(found)


async def test_a_withdrawal_and_a_contact_of_somebody_who_is_no_lead_are_exported(api: Api) -> None:
    sender = await make_sender(
        api,
        overrides={
            "route": [{"when": "item.stop", "do": "consent"}],
            "consent": [{"purpose": "email_marketing", "expr": "item.stop", "if_yes": "withdrawn"}],
        },
    )
    await sender.post_and_process({"stop": "yes", "email": ANA})
    contact = await api.post("/v1/contacts", {"email": ANA, "full_name": "Ana Pop"})
    await api.post("/v1/contacts", {"email": BOB})
    found = await of_identity(api, email=ANA)
    assert [(row["purpose"], row["state"]) for row in found["withdrawals"]] == [("email_marketing", "withdrawn")]
    assert ids_of(found, "contacts") == {contact["id"]}


async def test_of_nobody_an_export_is_empty(api: Api) -> None:
    await api.lead(email=BOB)
    found = await of_identity(api, email=ANA)
    assert {name for name, rows in found.items() if rows} == {"exported_at"}


async def test_a_number_that_several_leads_share_names_nobody(api: Api) -> None:
    for email in (ANA, BOB):
        await api.post("/v1/leads", {"fields": {"email": email, "phone": "+40 21 555 0100"}})
    refused = await api.call("POST", "/v1/exports", {"identity": {"phone": "+40 21 555 0100"}})
    assert (refused.status_code, refused.json()["errors"][0]) == (
        422,
        refused.json()["errors"][0] | {"field": "identity.phone", "code": "person_ambiguous"},
    )


@pytest.mark.parametrize(
    ("identity", "field"),
    [
        ({}, "identity"),
        ({"email": "nobody"}, "identity.email"),
        ({"email": ""}, "identity.email"),
        ({"phone": "12"}, "identity.phone"),
        ({"external_id": "nothing"}, "identity.external_id"),
        ({"email": ANA, "external_id": "x"}, "identity.external_id"),
        ({"email": "a\x00@b.example"}, None),
        ({"name": "Ana"}, "identity.name"),
        ({"email": 7}, "identity.email"),
        (None, "identity"),
    ],
)
async def test_what_is_no_identity_is_refused_and_named(api: Api, identity: Any, field: str | None) -> None:
    refused = await api.call("POST", "/v1/exports", {"identity": identity})
    assert refused.status_code in (400, 422), refused.text
    if field is not None:
        assert refused.json()["errors"][0]["field"] == field


async def test_each_export_is_told_by_the_audit_log_and_needs_the_scope_privacy(api: Api) -> None:
    lead = await api.lead(email=ANA)
    async with api.app.state.engine.begin() as tx:
        made = await create_key(tx, api.tenant_id, "r", ["leads:read", "leads:write"], api.now)
    for method, path, body in (
        ("GET", f"/v1/leads/{lead['id']}/export", None),
        ("POST", "/v1/exports", {"identity": {"email": ANA}}),
    ):
        refused = await api.call(method, path, body, key=made.secret)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        assert (await api.call(method, path, body, headers={"Idempotency-Key": "again"})).status_code == 200
    told = (await api.get("/v1/audit", params={"act": "person.exported"}))["data"]
    assert [row["subject"] for row in told] == ["person", lead["id"]]
    assert [row["detail"]["leads"] for row in told] == [[lead["id"]]] * 2
    assert ANA not in json.dumps(told)


async def test_a_converted_lead_is_exported_with_its_contact_opportunity_and_conversion(api: Api) -> None:
    lead = await api.mql(email=ANA)
    await api.ask(lead, "accept", await api.user("sdr"))
    ae, bant = await api.user("ae"), {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
    await api.ask(lead, "confirm", ae, bant=bant)
    headers = {"Idempotency-Key": "k"}
    await api.post(f"/v1/leads/{lead['id']}/conversion", {}, actor=ae, headers=headers)
    links = (await api.reload(lead))["links"]
    found = await of_lead(api, lead["id"])
    assert [row["opportunity_id"] for row in found["conversions"]] == [links["opportunity_id"]]
    assert ids_of(found, "contacts") == {links["contact_id"]}
    assert ids_of(found, "opportunities") == {links["opportunity_id"]}
    assert found["opportunity_transitions"]
    assert {row["criterion"] for row in found["bant"]} >= bant.keys()


async def test_an_erased_lead_is_gone(api: Api) -> None:
    lead = await api.lead(email=ANA)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET erased_at = now()"))
    answer = await api.call("GET", f"/v1/leads/{lead['id']}/export")
    assert (answer.status_code, answer.json()["code"]) == (410, "erased")


async def test_ten_thousand_activities_are_exported_without_being_in_memory_at_once(api: Api) -> None:
    lead = ids.read("lead", (await api.lead(email=ANA))["id"])
    async with api.app.state.engine.begin() as tx:
        await tx.execute(MANY, {"tenant_id": api.tenant_id, "lead_id": lead})
        person = await person_of_lead(tx, api.tenant_id, lead)
        tracemalloc.start()
        with await write_document(tx, person, api.now) as file:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            found = json.loads(file.read())
    assert len(found["activities"]) >= 10_000
    assert sum(len(json.dumps(row)) for row in found["activities"]) > 10_000_000
    assert peak < 5_000_000


async def test_an_unknown_lead_is_404(api: Api) -> None:
    for lead in ("lead_00000000000000000000000000", "lead_x"):
        assert (await api.call("GET", f"/v1/leads/{lead}/export")).status_code == 404
