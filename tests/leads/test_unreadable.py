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
