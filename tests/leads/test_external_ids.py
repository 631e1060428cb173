"""External ids: one rule for `namespace:value` everywhere, and one form for the ids of one record."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from app import ids
from app.database import migrate
from app.matching.external_id import external_identity, readings
from tests.api import Api
from tests.submissions.sender import make_sender

LONG = "00Q5g00000AbCdEEAV"


@pytest.mark.parametrize(
    ("namespace", "typed", "compared"),
    [
        ("salesforce:lead", "00Q5g00000AbCdE", LONG),
        ("salesforce:lead", LONG, LONG),
        ("salesforce:lead", "00Q5g00000AbCdEFAS", LONG),  # reported; its last characters are not those of the record
        ("salesforce:lead", "00q5g00000abcdeeav", LONG),
        ("salesforce:lead", "00Q5G00000ABCDEEAV", LONG),
        ("salesforce", "00Q5g00000AbCdE", LONG),
        ("salesforce_contact", "00Q5g00000AbCdE", LONG),
        ("Salesforce.org", "00Q5g00000AbCdE", LONG),
        ("salesforce:lead", "00Q5g00000abcde", "00Q5g00000abcdeEAA"),
        ("salesforce:lead", "001000000000000", "001000000000000AAA"),
        ("salesforce:lead", "00Q5g00000AbCd", "00Q5g00000AbCd"),
        ("salesforce:lead", "00Q5g00000AbCdEE", "00Q5g00000AbCdEE"),
        ("salesforce:lead", "00Q5g00000AbCdEEA9", "00Q5g00000AbCdEEA9"),
        ("salesforce:lead", "00Q5g00000AbCd-", "00Q5g00000AbCd-"),
        ("crm", "00Q5g00000AbCdE", "00Q5g00000AbCdE"),
        ("my_salesforce", "00Q5g00000AbCdE", "00Q5g00000AbCdE"),
    ],
)
def test_an_external_id_is_compared_in_the_form_of_its_namespace(namespace: str, typed: str, compared: str) -> None:
    assert external_identity(namespace, typed).value == compared


RECORDS = st.text("abcXYZ0189", min_size=15, max_size=15)


@given(record=RECORDS)
def test_all_forms_of_an_id_are_one_and_it_is_restored_from_any_case(record: str) -> None:
    long = external_identity("salesforce", record).value
    assert long[:15] == record
    for form in (long, long.lower(), long.upper()):
        assert external_identity("salesforce", form).value == long


@given(RECORDS, RECORDS)
def test_ids_of_two_records_are_never_one(one: str, other: str) -> None:
    forms = {external_identity("salesforce", record).value for record in (one, other)}
    assert len(forms) == len({one, other})


def test_a_namespace_and_a_value_may_both_hold_colons() -> None:
    assert [one.key[1:] for one in readings("a:b:c")] == [("a:b", "c"), ("a", "b:c")]
    assert readings("abc") == ()


@pytest.mark.parametrize("forms", [("00Q5g00000AbCdE", LONG), (LONG, "00Q5g00000AbCdE")])
async def test_both_forms_of_a_record_name_one_lead_through_every_door(api: Api, forms: tuple[str, str]) -> None:
    first, second = forms
    lead = await api.post("/v1/leads", {"fields": {}, "external_ids": {"salesforce:lead": first}})
    assert [one["value"] for one in lead["identities"]] == [LONG]
    again = await api.post("/v1/leads", {"fields": {}, "external_ids": {"salesforce:lead": second}}, status=200)
    sender = await make_sender(api)
    (item,) = (await sender.post_and_process({"external_ids": {"salesforce:lead": second}}))["items"]
    recorded = await api.post(
        "/v1/activities", {"activities": [{"type": "call", "external_id": f"salesforce:lead:{second}"}]}
    )
    listed = (await api.get(f"/v1/leads?external_id=salesforce:lead:{second}"))["data"]
    found = [again["id"], item["lead_id"], recorded["data"][0]["lead_id"], *(one["id"] for one in listed)]
    assert found == [lead["id"]] * 4


@pytest.mark.parametrize(("namespace", "value"), [("crm", "7"), ("crm:lead", "7"), ("crm", "lead:7"), ("a:b", "c:d")])
async def test_activities_and_lists_read_an_external_id_alike(api: Api, namespace: str, value: str) -> None:
    lead = await api.post("/v1/leads", {"fields": {}, "external_ids": {namespace: value}})
    named = f"{namespace}:{value}"
    recorded = await api.post("/v1/activities", {"activities": [{"type": "call", "external_id": named}]})
    assert [(one["lead_id"], one["recorded"]) for one in recorded["data"]] == [(lead["id"], True)]
    assert [one["id"] for one in (await api.get(f"/v1/leads?external_id={named}"))["data"]] == [lead["id"]]


async def test_stored_ids_of_fifteen_characters_are_migrated_unless_their_longer_form_is_taken(api: Api) -> None:
    leads = [await api.lead() for _ in range(4)]
    stored = [
        ("salesforce:lead", "00Q5g00000AbCdE"),
        ("salesforce:lead", "003Zz00000ZZZZZ"),
        ("salesforce:lead", external_identity("salesforce", "003Zz00000ZZZZZ").value),
        ("crm", "00Q5g00000AbCdE"),
    ]
    engine = api.app.state.engine
    async with engine.begin() as tx:
        for lead, (namespace, value) in zip(leads, stored, strict=True):
            await tx.execute(
                text(
                    "INSERT INTO identities (tenant_id, kind, namespace, value, lead_id, added_at)"
                    " VALUES (:tenant_id, 'external', :namespace, :value, :lead_id, now())"
                ),
                {
                    "tenant_id": api.tenant_id,
                    "namespace": namespace,
                    "value": value,
                    "lead_id": ids.read("lead", lead["id"]),
                },
            )
    async with engine.engine.connect() as connection:
        await connection.run_sync(to_first_release)
    await migrate.upgrade(api.app.state.settings.database_url)
    assert await external_values(api, leads) == [LONG, "003Zz00000ZZZZZ", stored[2][1], "00Q5g00000AbCdE"]


def to_first_release(connection: Connection) -> None:
    command.downgrade(migrate.configuration(connection), "0001")


async def external_values(api: Api, leads: list[dict[str, Any]]) -> list[str]:
    known = [(await api.reload(lead))["identities"] for lead in leads]
    return [one["value"] for identities in known for one in identities if one["kind"] == "external"]
