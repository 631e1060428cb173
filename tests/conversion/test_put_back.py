"""What the revert of a conversion puts back in records that existed before, value by value, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, converted, moved, rows, sql_lead
from tests.conversion.test_revert import NORDSOFT, ask, patch, previewed, reverted, whys
from tests.merging.steps import faults

LEAD: dict[str, Any] = {
    "email": "anna@nordsoft.ro",
    "first_name": "Anna",
    "last_name": "Zvoristeanu",
    "company": "Nordsoft SRL",
    "phone": "+40 21 555 0100",
    "website": "https://nordsoft.ro",
    "country": "RO",
    "language": "ro",
}
CHANGING = {"version", "updated_at"}


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


@pytest.fixture
async def manager(api: Api) -> str:
    return await api.user("manager")


async def read(api: Api, path: str) -> dict[str, Any]:
    return {name: value for name, value in (await api.get(path)).items() if name not in CHANGING}


ACCOUNTS: Any = (
    {},
    {"industry": "IT", "phone": "+40 21 555 0199"},
    {"website": "https://nordsoft.ro", "country": "DE", "language": "en", "employees": 7},
)
CONTACTS: Any = (
    {},
    {"first_name": "Anna"},
    {"full_name": "Anna Z.", "job_title": "CEO"},
    {"last_name": "Zvoristeanu", "phone": "+40 21 555 0188", "country": "DE", "language": "en"},
)
OVERWRITES: Any = (
    ([], []),
    (["company", "industry", "phone", "employees"], ["job_title", "phone"]),
    (["website", "country", "language", "name"], ["first_name", "last_name", "full_name", "country", "language"]),
)


@pytest.mark.parametrize("overwrite", OVERWRITES)
@pytest.mark.parametrize("contact", CONTACTS)
@pytest.mark.parametrize("account", ACCOUNTS)
async def test_records_that_nobody_changed_since_are_as_before_the_conversion(
    api: Api, ae: str, manager: str, account: Any, contact: Any, overwrite: Any
) -> None:
    one = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", **account})
    other = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro", **contact})
    paths = [f"/v1/accounts/{one['id']}", f"/v1/contacts/{other['id']}"]
    before = [await read(api, path) for path in paths]
    keys = [await stored_keys(api, table) for table in ("accounts", "contacts")]
    lead = await sql_lead(api, ae, **LEAD)
    made = await converted(
        api, lead, ae, {"account": {"overwrite": overwrite[0]}, "contact": {"overwrite": overwrite[1]}}
    )
    assert [made[kind]["outcome"] for kind in ("account", "contact")] == ["linked", "linked"]
    assert [await read(api, path) for path in paths] != before
    done = await reverted(api, lead, manager, "?strict=true")
    assert [await read(api, path) for path in paths] == before
    assert [await stored_keys(api, table) for table in ("accounts", "contacts")] == keys
    assert [one["type"] for one in done["archived"]] == ["opportunity"]
    assert await faults(api) == []


async def stored_keys(api: Api, table: str) -> list[Any]:
    name = "name_key, domain" if table == "accounts" else "email_key, consents"
    return [tuple(row) for row in await rows(api, f"SELECT {name}, external_id FROM {table}")]


@pytest.mark.parametrize("field", ["phone", "website", "country", "language", "employees"])
@pytest.mark.parametrize("overwritten", [False, True])
async def test_a_field_that_somebody_changed_since_keeps_its_value(
    api: Api, ae: str, manager: str, field: str, overwritten: bool
) -> None:
    new = {"phone": "+40215550177", "website": "https://x.example", "country": "FR", "language": "fr", "employees": 9}
    old = {"phone": "+40215550188", "website": "https://y.example", "country": "DE", "language": "en", "employees": 3}
    account = await api.post("/v1/accounts", {**NORDSOFT, **(old if overwritten else {})})
    lead = await sql_lead(api, ae, **LEAD)
    await converted(api, lead, ae, {"account": {"overwrite": list(old)}})
    await patch(api, f"/v1/accounts/{account['id']}", {field: new[field]})
    done = await reverted(api, lead, manager)
    after = await api.get(f"/v1/accounts/{account['id']}")
    left = [(one["type"], one["why"], one["fields"]) for one in done["left_in_place"]]
    assert left == [("account", "changed_since", [field])]
    assert {name: after[name] for name in new} == {name: account[name] for name in new} | {field: new[field]}


async def test_a_field_that_has_its_old_value_already_is_nothing_to_tell(api: Api, ae: str, manager: str) -> None:
    account = await api.post("/v1/accounts", NORDSOFT)
    lead = await sql_lead(api, ae, **LEAD)
    await converted(api, lead, ae)
    await patch(api, f"/v1/accounts/{account['id']}", {"phone": None})
    done = await reverted(api, lead, manager, "?strict=true")
    assert done["left_in_place"] == []
    assert "phone" not in done["emptied"][0]["fields"]


async def test_a_contact_that_was_moved_goes_back_to_its_account(api: Api, ae: str, manager: str) -> None:
    old = await api.post("/v1/accounts", {"name": "Old", "domain": "old.example"})
    contact = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro", "account_id": old["id"]})
    lead = await sql_lead(api, ae, **LEAD)
    made = await converted(api, lead, ae, {"account": {"mode": "create"}, "contact": {"relink": True}})
    assert (await api.get(f"/v1/contacts/{contact['id']}"))["account_id"] == made["account"]["id"]
    done = await reverted(api, lead, manager, "?strict=true")
    assert (await api.get(f"/v1/contacts/{contact['id']}"))["account_id"] == old["id"]
    assert [one["type"] for one in done["archived"]] == ["opportunity", "account"]


@pytest.mark.parametrize("kind", ["account", "contact"])
async def test_an_old_key_that_another_record_has_by_now_is_not_put_back(
    api: Api, ae: str, manager: str, kind: str
) -> None:
    path, key = ("/v1/accounts", "domain") if kind == "account" else ("/v1/contacts", "email")
    old = "old.example" if kind == "account" else "anna@old.example"
    record = await api.post(path, {"external_id": "4711", key: old, **({"name": "Old"} if kind == "account" else {})})
    lead = await sql_lead(api, ae, **LEAD)
    order = {kind: {"mode": "use", "id": record["id"], "overwrite": [key]}}
    await converted(api, lead, ae, order)
    new = (await api.get(f"{path}/{record['id']}"))[key]
    assert new != old
    await api.post(path, {key: old})
    shown = await previewed(api, lead, manager)
    done = await reverted(api, lead, manager)
    assert done["left_in_place"] == shown["left_in_place"]
    left = [(one["type"], one["why"], one["fields"]) for one in done["left_in_place"]]
    assert left == [(kind, "key_taken", [key])]
    assert (await api.get(f"{path}/{record['id']}"))[key] == new


@pytest.mark.parametrize(
    ("known", "of_lead", "after", "left"),
    [
        (None, "given", None, []),
        ("given", "given", "given", []),
        ("refused", "given", "refused", []),
        (None, "refused", "refused", [("contact", "consent_refused")]),
        ("given", "withdrawn", "withdrawn", [("contact", "consent_refused")]),
    ],
)
async def test_a_consent_that_came_by_the_conversion_goes_with_it_unless_it_was_refused(
    api: Api, ae: str, manager: str, known: str | None, of_lead: str, after: str | None, left: list[tuple[str, str]]
) -> None:
    if known is not None:
        first = await sql_lead(api, ae, email="boss@firm.example")
        await consent(api, first, known)
        await converted(api, first, ae, {"account": {"mode": "none"}, "opportunity": {"mode": "none"}})
        contact_id = (await api.reload(first))["links"]["contact_id"]
    else:
        contact_id = (await api.post("/v1/contacts", {"email": "boss@firm.example"}))["id"]
    lead = await sql_lead(api, ae, **LEAD)
    await consent(api, lead, of_lead)
    await converted(api, lead, ae, {"account": {"mode": "none"}, "contact": {"mode": "use", "id": contact_id}})
    done = await reverted(api, lead, manager)
    ((consents,),) = await rows(api, "SELECT consents FROM contacts WHERE archived_at IS NULL")
    assert consents.get("email_marketing", {}).get("state") == after
    assert whys(done) == left


async def consent(api: Api, lead: dict[str, Any], state: str) -> None:
    body = {"consents": [{"purpose": "email_marketing", "state": state}]}
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body)
    assert answer.status_code == 200, answer.text


async def test_of_a_conversion_by_an_older_release_what_it_filled_stays(api: Api, ae: str, manager: str) -> None:
    account = await api.post("/v1/accounts", NORDSOFT)
    lead = await sql_lead(api, ae, **LEAD)
    await converted(api, lead, ae)
    await rows(api, "UPDATE conversions SET replaced = NULL RETURNING id")
    done = await reverted(api, lead, manager)
    assert [one["type"] for one in done["archived"]] == ["opportunity", "contact"]
    (left,) = done["left_in_place"]
    assert (left["type"], left["why"]) == ("account", "not_recorded")
    assert "phone" in left["fields"]
    assert (await api.get(f"/v1/accounts/{account['id']}"))["phone"] == "+40215550100"
    assert done["lead"]["links"] == {"account_id": None, "contact_id": None, "opportunity_id": None}


async def test_a_later_conversion_taken_back_leaves_the_links_of_the_one_before(
    api: Api, ae: str, manager: str
) -> None:
    lead = await sql_lead(api, ae, **LEAD)
    first = await converted(api, lead, ae)
    won = await api.call(
        "POST", f"/v1/opportunities/{first['opportunity']['id']}/transitions", {"action": "win"}, actor=ae
    )
    assert won.status_code == 201, won.text
    before = (await api.reload(lead))["links"]
    await api.add_activity(lead, "demo_request")
    again = await api.reload(lead)
    assert (again["journey_no"], again["stage"]) == (2, "mql")
    for action, actor in (("accept", manager), ("confirm", ae)):
        await moved(api, lead, action, actor, **({"bant": BANT} if action == "confirm" else {}))
    second = await converted(api, lead, ae)
    assert [second[kind]["id"] for kind in ("account", "contact")] == [
        first[kind]["id"] for kind in ("account", "contact")
    ]
    done = await reverted(api, lead, manager, "?strict=true")
    assert [one["id"] for one in done["archived"]] == [second["opportunity"]["id"]]
    assert (done["lead"]["stage"], done["lead"]["links"]) == ("sql", before)
    answer = await ask(api, lead, manager)
    assert (answer.status_code, answer.json()["code"]) == (409, "conversion_reverted")
    assert await faults(api) == []
