"""An address or number that is none is refused by the API; a form's is kept in `raw` (unreadable.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api import Api
from tests.conversion.steps import convert, sql_lead

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("unreadable.yaml").read_text("utf-8"))
KNOWN = {"email": "ana@acme.com", "phone": "+40722123456", "website": "https://www.acme.com"}
MEMBERS = {"leads": {"email", "phone", "website"}, "contacts": {"email", "phone"}, "accounts": {"phone", "website"}}


@pytest.mark.parametrize("kind", ["leads", "contacts", "accounts"])
async def test_a_change_to_what_is_none_is_refused_and_changes_nothing(api: Api, kind: str) -> None:
    sent = {name: value for name, value in KNOWN.items() if name in MEMBERS[kind]}
    made = await api.post(
        f"/v1/{kind}", {"fields": sent} if kind == "leads" else {"name": "Acme", **sent} if kind == "accounts" else sent
    )
    before = await api.get(f"/v1/{kind}/{made['id']}")
    for row in ROWS:
        name, typed = row["field"], row["typed"]
        if name not in sent:
            continue
        changes = {name: typed}
        answer = await api.call(
            "PATCH", f"/v1/{kind}/{made['id']}", {"fields": changes} if kind == "leads" else changes
        )
        (fault,) = answer.json()["errors"]
        assert (answer.status_code, fault["code"]) == (422, f"{name}_invalid"), row
        assert fault["field"] == (f"fields.{name}" if kind == "leads" else name)
    assert await api.get(f"/v1/{kind}/{made['id']}") == before


@pytest.mark.parametrize(
    "typed", ["noemail@noemail.com", "none@none.com", "test@test.com", "a@a.com", "NoEmail@NoEmail.com "]
)
async def test_a_placeholder_address_is_refused_in_a_change_of_a_lead(api: Api, typed: str) -> None:
    lead = await api.lead()
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": typed}})
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["field"], fault["code"]) == (422, "fields.email", "email_invalid")
    assert await api.reload(lead) == lead


async def test_every_wrong_field_is_named(api: Api) -> None:
    lead = await api.lead()
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": "ana@", "phone": "0721 5"}})
    assert [fault["field"] for fault in answer.json()["errors"]] == ["fields.email", "fields.phone"]


async def test_a_national_number_is_read_by_the_country_in_the_same_change(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}"
    alone = await api.call("PATCH", path, {"fields": {"phone": "0722 123 456"}})
    both = await api.call("PATCH", path, {"fields": {"phone": "0722 123 456", "country": "România"}})
    assert alone.status_code == 422
    assert both.json()["fields"]["phone"] == "+40722123456"


@pytest.mark.parametrize(("path", "body"), [("contacts", {}), ("accounts", {"name": "Acme"})])
async def test_a_new_record_with_a_number_that_is_none_is_refused(api: Api, path: str, body: dict[str, Any]) -> None:
    answer = await api.call("POST", f"/v1/{path}", {**body, "phone": "0721 5"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "phone")


async def test_a_conversion_names_the_value_that_is_no_number(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email="ana@acme.com", company="Acme", full_name="Ana Pop")
    refused = await convert(api, lead, ae, {"contact": {"values": {"phone": "0721 5"}}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "contact.values.phone")


async def test_a_posted_lead_follows_the_rules_of_a_form(api: Api) -> None:
    lead = await api.post("/v1/leads", {"fields": {"email": "ana@acme.com", "phone": "0721 5"}})
    assert (lead["fields"]["phone"], lead["raw"]["phone"], lead["phone_status"]) == (None, "0721 5", "invalid")


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"email": "x"}, ["email"]),
        ({"email": "none@none.com"}, ["email"]),
        ({"phone": "0721 5"}, ["phone"]),
        ({"email": "ana@", "phone": "0721 5", "full_name": "Ana"}, ["email", "phone"]),
        ({"full_name": "Ana"}, []),
        ({"email": " ", "phone": ""}, []),
    ],
    ids=str,
)
async def test_a_posted_lead_that_nothing_identifies_is_told_what_could_not_be_read(
    api: Api, sent: dict[str, str], named: list[str]
) -> None:
    answer = await api.call("POST", "/v1/leads", {"fields": sent})
    told = [(fault["field"], fault["code"]) for fault in answer.json()["errors"]]
    assert (answer.status_code, answer.json()["code"]) == (422, "identity_required")
    assert told == [("fields", "identity_required")] + [(f"fields.{name}", f"{name}_invalid") for name in named]


async def unread(api: Api, typed: str = "0722 123 456", **fields: Any) -> dict[str, Any]:
    lead = await api.post("/v1/leads", {"fields": {"email": "ana@acme.com", "phone": typed, **fields}})
    assert (lead["fields"]["phone"], lead["raw"]["phone"], lead["phone_status"]) == (None, typed, "invalid")
    return dict(lead)


@pytest.mark.parametrize(
    ("typed", "country", "phone"),
    [
        ("0722 123 456", "RO", "+40722123456"),
        ("0722 123 456", "România", "+40722123456"),
        ("030 901820", "Germany", "+4930901820"),
        ("0722 123 456", "US", None),
        ("0721 5", "RO", None),
        ("0722 123 456", None, None),
    ],
)
async def test_a_number_that_was_not_read_is_read_again_by_a_new_country(
    api: Api, typed: str, country: str | None, phone: str | None
) -> None:
    lead = await unread(api, typed)
    changed = (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"country": country}})).json()
    assert (changed["fields"]["phone"], changed["raw"]["phone"]) == (phone, typed)
    assert changed["phone_status"] == ("valid" if phone else "invalid")
    found = (await api.get("/v1/leads?phone=%2B40722123456"))["data"]
    assert [one["id"] for one in found] == ([lead["id"]] if phone == "+40722123456" else [])


async def test_a_number_that_was_read_stays_when_the_country_changes(api: Api) -> None:
    lead = await api.lead(phone="+40722123456")
    changed = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"country": "US"}})
    assert changed.json()["fields"]["phone"] == "+40722123456"


async def test_a_number_that_is_read_again_may_be_shared(api: Api) -> None:
    other = await api.lead(phone="+40722123456", full_name="Ion Rus")
    lead = await unread(api, full_name="Ana Pop")
    changed = (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"country": "RO"}})).json()
    assert (changed["fields"]["phone"], changed["phone_status"]) == ("+40722123456", "shared")
    assert (await api.reload(other))["phone_status"] == "shared"


@pytest.mark.parametrize("field", ["first_name", "last_name", "full_name", "company", "job_title"])
@pytest.mark.parametrize("typed", ["Null", "Na", "X", "None", "Test"])
async def test_a_change_keeps_a_word_for_nothing_as_it_was_typed(api: Api, field: str, typed: str) -> None:
    lead = await api.lead()
    changed = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {field: typed}})
    assert (changed.status_code, changed.json()["fields"][field]) == (200, typed)
    assert (await api.reload(lead))["fields"][field] == typed
