"""What is derived from a value follows it, unless somebody set it (derived.yaml)."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.derive import SOURCES, rederived
from app.matching.normalize import normalize
from tests.api import Api
from tests.conversion.steps import convert, events, sql_lead

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("derived.yaml").read_text("utf-8"))
VALUES = {
    "first_name": st.sampled_from(["Ana", "Ion Luca", "Анна"]),
    "last_name": st.sampled_from(["Pop", "van der Berg", "Țurcanu"]),
    "job_title": st.sampled_from(["CEO", "Director of Marketing", "kierownik", "Wizard"]),
    "email": st.sampled_from(["a@acme.com", "a@gmail.com", "biuro@acme.pl", "a@例え.jp"]),
    "website": st.sampled_from(["https://www.acme.de/x", "https://linktr.ee/acme", "acme.co.uk"]),
}
CHANGES = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), st.none() | VALUES[name])),
    max_size=12,
)

NOTHING: dict[str, Any] = {}


def changed(values: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    after = {**values, **change}
    return {**after, **rederived(values, after, change)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['met']}: {row['fields']} {row['changes']}")
def test_derived_fields_are_as_the_table_says(row: dict[str, Any]) -> None:
    *_, last = accumulate(row["changes"], changed, initial=dict(normalize(row["fields"], {}, None).fields))
    assert {name: last.get(name) for name in row["then"]} == row["then"]


@given(CHANGES)
def test_derived_fields_depend_on_the_values_and_not_on_the_order_of_changes(changes: list[tuple[str, Any]]) -> None:
    *_, one_by_one = accumulate(({name: value} for name, value in changes), changed, initial=NOTHING)
    at_once = changed({}, dict(changes))
    assert {name: one_by_one.get(name) for name in SOURCES} == {name: at_once.get(name) for name in SOURCES}
    assert rederived(one_by_one, one_by_one, ()) == {}


async def test_the_table_holds_for_changed_leads_and_their_events(api: Api) -> None:
    for n, row in enumerate(ROWS):
        body = {"fields": row["fields"], "external_ids": {"api": str(n)}, "attribution": {}}
        fields = {name: value for name, value in row["fields"].items() if name != "email"}
        local, _, host = row["fields"].get("email", "").partition("@")
        body["fields"] = {**fields, **({"email": f"{local}{n}@{host}"} if host else {})}
        lead = await api.post("/v1/leads", body)
        for change in row["changes"]:
            address = change.get("email")
            own = {"email": address.replace("ana@", f"ana{n}@")} if address else {}
            answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {**change, **own}})
            assert answer.status_code == 200, answer.text
        after = (await api.reload(lead))["fields"]
        assert {name: after[name] for name in row["then"]} == row["then"], row


async def test_the_event_and_the_past_name_derived_changes_too(api: Api) -> None:
    lead = await api.lead(first_name="Ana", last_name="Pop", job_title="CEO")
    before = (await api.reload(lead))["updated_at"]
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"last_name": "Ionescu", "job_title": None}})
    (updated,) = [event.data for event in await events(api, lead) if event.type == "lead.updated"]
    past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": before})
    assert set(updated["changed"]) == {"last_name", "full_name", "job_title", "seniority"}
    assert (past["fields"]["full_name"], past["fields"]["seniority"]) == ("Ana Pop", "c_level")


async def test_a_later_form_fills_no_blank_with_what_another_value_gives(api: Api) -> None:
    ids = {"crm": "1"}
    lead = await api.post("/v1/leads", {"fields": {"job_title": "Wizard", "first_name": "Ana"}, "external_ids": ids})
    form = {"job_title": "Director of Marketing", "last_name": "Pop"}
    again = await api.post("/v1/leads", {"fields": form, "external_ids": ids}, status=200)
    assert again["id"] == lead["id"]
    assert {name: again["fields"][name] for name in ("job_title", "role", "seniority", "full_name")} == {
        "job_title": "Wizard",
        "role": None,
        "seniority": None,
        "full_name": "Ana Pop",
    }


async def test_contacts_and_accounts_follow_the_same_rule(api: Api) -> None:
    contact = await api.post("/v1/contacts", {"first_name": "Ana", "last_name": "Pop", "job_title": "CEO"})
    named = {"last_name": "Ionescu", "job_title": "Director of Marketing"}
    moved = (await api.call("PATCH", f"/v1/contacts/{contact['id']}", named)).json()
    assert (moved["full_name"], moved["role"], moved["seniority"]) == ("Ana Ionescu", "marketing", "director")
    untitled = (await api.call("PATCH", f"/v1/contacts/{contact['id']}", {"job_title": None})).json()
    assert (untitled["role"], untitled["seniority"]) == (None, None)
    account = await api.post("/v1/accounts", {"name": "Acme", "website": "https://www.acme-old.com"})
    after = (await api.call("PATCH", f"/v1/accounts/{account['id']}", {"website": "https://acme-new.pl/"})).json()
    assert (account["domain"], after["domain"]) == ("acme-old.com", "acme-new.pl")
    own = await api.call("PATCH", f"/v1/accounts/{account['id']}", {"domain": "group.com", "website": "acme.de"})
    assert own.json()["domain"] == "group.com"


async def test_a_changed_address_decides_the_account_of_the_conversion(api: Api) -> None:
    ae = await api.user("ae")
    old = await api.post("/v1/accounts", {"name": "Old", "domain": "old-firm.com"})
    new = await api.post("/v1/accounts", {"name": "New", "domain": "new-firm.pl"})
    lead = await sql_lead(api, ae, email="ana@old-firm.com", full_name="Ana Pop", company="New")
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": "ana@new-firm.pl"}})
    made = (await convert(api, lead, ae)).json()["conversion"]
    assert old["id"] != made["account"]["id"] == new["id"]


async def test_a_conversion_fills_no_blank_with_what_another_value_gives(api: Api) -> None:
    ae = await api.user("ae")
    contact = await api.post("/v1/contacts", {"email": "ana@firm.pl", "first_name": "Ana", "job_title": "CEO"})
    titled = {"job_title": "Director of Marketing", "first_name": "Ana", "last_name": "Pop"}
    lead = await sql_lead(api, ae, email="ana@firm.pl", company="Firm", **titled)
    made = (await convert(api, lead, ae)).json()["conversion"]
    after = await api.get(f"/v1/contacts/{contact['id']}")
    outcomes = {one["field"]: one["outcome"] for one in made["field_outcomes"]}
    assert made["contact"]["id"] == contact["id"]
    assert (after["job_title"], after["role"], after["seniority"]) == ("CEO", None, "c_level")
    assert after["full_name"] == "Ana Pop"
    assert (outcomes["job_title"], outcomes["role"], outcomes["seniority"]) == ("kept_existing",) * 3


@pytest.mark.parametrize(
    ("contact", "lead", "name"),
    [
        ({"last_name": "Pop"}, {"full_name": "Ion Radu"}, (None, "Pop", None)),
        ({"first_name": "Ana"}, {"first_name": "Maria", "last_name": "Pop"}, ("Ana", None, None)),
        ({"last_name": "Pop"}, {"full_name": "Ana Pop"}, ("Ana", "Pop", "Ana Pop")),
        ({"first_name": "Ana"}, {"first_name": "Ana", "last_name": "Pop"}, ("Ana", "Pop", "Ana Pop")),
        ({}, {"full_name": "Ion Radu"}, ("Ion", "Radu", "Ion Radu")),
    ],
)
async def test_parts_of_two_names_are_not_joined_to_a_third(
    api: Api, contact: dict[str, str], lead: dict[str, str], name: tuple[str | None, ...]
) -> None:
    ae = await api.user("ae")
    known = await api.post("/v1/contacts", {"email": "ana@firm.pl", **contact})
    await convert(api, await sql_lead(api, ae, email="ana@firm.pl", company="Firm", **lead), ae)
    after = await api.get(f"/v1/contacts/{known['id']}")
    shown = tuple(after[part] for part in ("first_name", "last_name", "full_name"))
    assert shown[:2] == name[:2]
    assert name[2] is None or shown[2] == name[2]


async def test_a_blank_title_is_filled_with_what_is_derived_from_it(api: Api) -> None:
    ae = await api.user("ae")
    contact = await api.post("/v1/contacts", {"email": "ana@firm.pl"})
    lead = await sql_lead(api, ae, email="ana@firm.pl", company="Firm", job_title="Director of Marketing")
    await convert(api, lead, ae)
    after = await api.get(f"/v1/contacts/{contact['id']}")
    assert (after["job_title"], after["role"], after["seniority"]) == ("Director of Marketing", "marketing", "director")
