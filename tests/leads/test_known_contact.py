"""A form of somebody who is a contact already is linked to the contact and the account, and flagged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import converted, sql_lead
from tests.submissions.sender import make_sender

PHONE = {"phone": "+40722123456"}


async def make_contact(api: Api, **members: Any) -> tuple[dict[str, Any], dict[str, str | None]]:
    """A contact of an account, and the links of its lead."""
    account = await api.post("/v1/accounts", {"name": "Nordsoft"})
    body = {"email": "ana@nordsoft.example", "full_name": "Ana Pop", "account_id": account["id"], **members}
    contact = await api.post("/v1/contacts", body)
    return contact, {"account_id": account["id"], "contact_id": contact["id"], "opportunity_id": None}


async def arrive(api: Api, door: str, fields: dict[str, Any]) -> dict[str, Any]:
    if door == "api":
        return await api.lead(**fields)
    sender = await make_sender(api, door)
    body: Any = {**fields, "name": fields.get("full_name")}
    if door == "html-form":
        (item,) = (await sender.post_and_process(json.dumps(body), Content_Type="application/json"))["items"]
    else:
        (item,) = (await sender.post_and_process(body))["items"]
    return dict(await api.get(f"/v1/leads/{item['lead_id']}"))


@pytest.mark.parametrize("door", ["api", "generic", "html-form"])
async def test_a_form_of_a_contact_is_linked_to_contact_and_account(api: Api, door: str) -> None:
    _, links = await make_contact(api)
    lead = await arrive(api, door, {"email": "Ana@Nordsoft.example", "company": "Nordsoft"})
    (listed,) = (await api.get("/v1/leads"))["data"]
    for shown in (lead, listed):
        assert (shown["links"], shown["known_contact"]) == (links, True)


@pytest.mark.parametrize(
    ("contact", "fields", "known"),
    [
        ({}, {"email": "ion@nordsoft.example"}, False),
        ({}, {"email": "ion@nordsoft.example; ana@nordsoft.example"}, False),
        ({}, {"email": "ana@nordsoft.example; ion@nordsoft.example"}, True),
        ({"email": "office@nordsoft.example"}, {"email": "office@nordsoft.example", "full_name": "Ion Rus"}, False),
        ({"email": "office@nordsoft.example"}, {"email": "office@nordsoft.example", "full_name": "Pop Ana"}, True),
        (PHONE, {**PHONE, "full_name": "Ana Pop"}, True),
        (PHONE, {**PHONE, "full_name": "pop, ANA"}, True),
        (PHONE, {**PHONE, "full_name": "Ana Pop", "email": "ana.pop@else.example"}, True),
        (PHONE, {**PHONE, "full_name": "Ana Popa"}, False),
        (PHONE, {**PHONE, "full_name": "Ana"}, False),
        (PHONE, PHONE, False),
        (PHONE, {"phone": "+40722123457", "full_name": "Ana Pop"}, False),
        (PHONE | {"full_name": "Ana"}, {**PHONE, "full_name": "Ana Pop"}, False),
    ],
)
async def test_who_is_a_known_contact(api: Api, contact: dict[str, Any], fields: dict[str, Any], known: bool) -> None:
    _, links = await make_contact(api, **contact)
    lead = await api.lead(**fields)
    assert lead["known_contact"] == known
    assert lead["links"] == (links if known else dict.fromkeys(links))


async def test_a_number_and_name_that_two_contacts_have_link_neither(api: Api) -> None:
    await make_contact(api, **PHONE)
    await api.post("/v1/contacts", {"email": "ana@other.example", "full_name": "Ana Pop", **PHONE})
    assert not (await api.lead(full_name="Ana Pop", **PHONE))["known_contact"]
    assert (await api.lead(full_name="Ana Pop", email="ana@other.example", **PHONE))["known_contact"]


async def test_an_archived_contact_is_not_known(api: Api) -> None:
    contact, _ = await make_contact(api)
    archived = await api.call("PATCH", f"/v1/contacts/{contact['id']}", {"archived": True})
    assert archived.status_code == 200
    assert not (await api.lead(email="ana@nordsoft.example"))["known_contact"]


async def test_a_lead_is_linked_by_its_next_form_after_the_contact_was_made(api: Api) -> None:
    lead = await api.lead(email="ana@nordsoft.example")
    _, links = await make_contact(api)
    before = api.now
    again = await api.lead(email="ana@nordsoft.example")
    assert (again["id"], again["known_contact"], again["links"]) == (lead["id"], True, links)
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert (past["known_contact"], past["links"]) == (False, dict.fromkeys(links))


async def test_a_conversion_links_the_same_records_and_the_past_keeps_its_links(api: Api) -> None:
    contact, links = await make_contact(api)
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email="ana@nordsoft.example", company="Other name")
    linked = api.now
    moved = await api.call("PATCH", f"/v1/contacts/{contact['id']}", {"email": "ana.pop@nordsoft.example"})
    assert moved.status_code == 200
    made = await converted(api, lead, ae)
    assert [(made[kind]["outcome"], made[kind]["id"]) for kind in ("account", "contact")] == [
        ("linked", links["account_id"]),
        ("linked", links["contact_id"]),
    ]
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={linked.isoformat().replace('+00:00', 'Z')}")
    assert (past["known_contact"], past["links"]) == (True, links)


@pytest.mark.parametrize(
    ("contact", "stored", "change", "known"),
    [
        ({}, {}, {"email": "Ana@Nordsoft.example"}, True),
        ({}, {}, {"email": "ion@nordsoft.example"}, False),
        ({}, {}, {"company": "Nordsoft"}, False),
        (PHONE, {"full_name": "Ana Pop"}, PHONE, True),
        (
            PHONE,
            {"full_name": "Ion Rus", **PHONE},
            {"full_name": "Ana Pop", "first_name": "Ana", "last_name": "Pop"},
            True,
        ),
        (PHONE, {"full_name": "Ion Rus"}, PHONE, False),
        ({"email": "office@nordsoft.example"}, {"full_name": "Ion Rus"}, {"email": "office@nordsoft.example"}, False),
        ({"email": "office@nordsoft.example"}, {"full_name": "Pop Ana"}, {"email": "office@nordsoft.example"}, True),
        (
            {"email": "office@nordsoft.example"},
            {"full_name": "Ion Rus"},
            {"email": "office@nordsoft.example", "full_name": "Ana Pop", "first_name": "Ana", "last_name": "Pop"},
            True,
        ),
    ],
)
async def test_a_lead_whose_address_is_changed_to_that_of_a_contact_is_linked(
    api: Api, contact: dict[str, Any], stored: dict[str, Any], change: dict[str, Any], known: bool
) -> None:
    _, links = await make_contact(api, **contact)
    lead = await api.lead(email="somebody@else.example", **stored)
    before = api.now
    changed = (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": change})).json()
    for shown in (changed, await api.reload(lead)):
        assert (shown["known_contact"], shown["links"]) == (known, links if known else dict.fromkeys(links))
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert (past["known_contact"], past["links"]) == (False, dict.fromkeys(links))
