"""Nothing is written again into the records of people who were erased."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import converted, sql_lead
from tests.erasure.people import REASON, erase, where

NAME = "Wilhelmine"
CHANGES: list[dict[str, Any]] = [{"first_name": NAME}, {"archived": False}, {"custom": {"note": NAME}}, {}]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_contact_that_an_erasure_emptied_takes_no_change(api: Api, change: dict[str, Any]) -> None:
    lead, contact = await converted_person(api)
    before = await api.get(f"/v1/contacts/{contact}")
    assert (await api.call("PATCH", f"/v1/contacts/{contact}", {"first_name": "Ada"})).status_code == 200
    await erase(api, lead)
    emptied = await api.get(f"/v1/contacts/{contact}")
    assert (before["archived_at"], before["email"]) == (None, lead["fields"]["email"])
    assert (emptied["email"], emptied["first_name"]) == (None, None)
    refused = await api.call("PATCH", f"/v1/contacts/{contact}", change)
    assert (refused.status_code, refused.json()["code"]) == (410, "erased")
    assert await api.get(f"/v1/contacts/{contact}") == emptied


async def test_the_account_of_a_person_takes_no_change_and_that_of_a_company_does(api: Api) -> None:
    ae = await api.user("ae")
    mine = await api.post("/v1/accounts", {"name": "Ada Lovelace"}, status=201)
    theirs = await api.post("/v1/accounts", {"name": "Nordsoft"}, status=201)
    for account in (mine, theirs):
        lead = await sql_lead(api, ae, first_name="Ada", last_name="Lovelace", email=f"{account['id']}@x.example")
        await converted(api, lead, ae, {"account": {"mode": "use", "id": account["id"]}})
        await erase(api, lead)
    refused = await api.call("PATCH", f"/v1/accounts/{mine['id']}", {"name": NAME})
    assert (refused.status_code, refused.json()["code"]) == (410, "erased")
    assert (await api.call("PATCH", f"/v1/accounts/{theirs['id']}", {"name": NAME})).status_code == 200


async def test_a_change_that_comes_with_the_erasure_leaves_no_name(api: Api) -> None:
    for _ in range(5):
        lead, contact = await converted_person(api)
        change = api.call("PATCH", f"/v1/contacts/{contact}", {"first_name": NAME})
        erasing = api.call("POST", f"/v1/leads/{lead['id']}/erasure", REASON)
        changed, erased = await asyncio.gather(change, erasing)
        assert changed.status_code in (200, 410), changed.text
        assert erased.status_code == 202, erased.text
    assert [one for one in await where(api, [NAME]) if one.startswith("contacts.")] == []


async def converted_person(api: Api) -> tuple[dict[str, Any], str]:
    """A converted lead, and the id of its contact."""
    ae = await api.user("ae")
    lead = await sql_lead(api, ae)
    return lead, (await converted(api, lead, ae))["contact"]["id"]
