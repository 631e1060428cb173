"""Reverts at the same time as other requests about the same records: one comes first, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import convert, converted, count, events, rows, sql_lead
from tests.conversion.test_revert import KINDS, ask, live, record, whys
from tests.merging.steps import faults

ROUNDS = 8


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


@pytest.fixture
async def manager(api: Api) -> str:
    return await api.user("manager")


async def converted_leads(api: Api, ae: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Leads, each with its conversion."""
    leads = [await sql_lead(api, ae, email=f"anna@firm-{n}.ro", company=f"Firm {n}") for n in range(ROUNDS)]
    return [(lead, await converted(api, lead, ae)) for lead in leads]


async def test_of_reverts_at_once_one_is_done(api: Api, ae: str, manager: str) -> None:
    for lead, made in await converted_leads(api, ae):
        answers = await asyncio.gather(*(ask(api, lead, manager) for _ in range(6)))
        assert Counter(one.status_code for one in answers) == {200: 1, 409: 5}
        assert {one.json()["code"] for one in answers if one.status_code == 409} == {"conversion_reverted"}
        assert await live(api, made) == []
        told = [one.type for one in await events(api, lead)]
        assert told.count("lead.conversion_reverted") == 1
    assert await faults(api) == []


@pytest.mark.parametrize("strict", ["", "?strict=true"])
async def test_an_edit_of_the_opportunity_at_the_same_time_is_not_lost(
    api: Api, ae: str, manager: str, strict: str
) -> None:
    for lead, made in await converted_leads(api, ae):
        path = f"/v1/opportunities/{made['opportunity']['id']}"
        undone, edited = await asyncio.gather(
            ask(api, lead, manager, strict), api.call("PATCH", path, {"name": "Edited"}, headers={"If-Match": '"1"'})
        )
        assert (undone.status_code, edited.status_code) in ((200, 412), (409 if strict else 200, 200))
        is_edited = edited.status_code == 200
        after = await record(api, made, "opportunity")
        assert (after["name"] == "Edited", after["archived_at"] is None) == (is_edited, is_edited)
        if undone.status_code == 200:
            assert ("opportunity" in dict(whys(undone.json()))) == is_edited
        else:
            assert (await api.reload(lead))["stage"] == "converted"
    assert await faults(api) == []


@pytest.mark.parametrize("end", [{"action": "win"}, {"action": "lose", "reason_code": "price"}])
async def test_an_opportunity_that_is_closed_at_the_same_time_is_closed_or_archived(
    api: Api, ae: str, manager: str, end: dict[str, str]
) -> None:
    for lead, made in await converted_leads(api, ae):
        path = f"/v1/opportunities/{made['opportunity']['id']}/transitions"
        undone, closed = await asyncio.gather(ask(api, lead, manager), api.call("POST", path, end, actor=ae))
        assert (undone.status_code, closed.status_code) in ((200, 422), (422, 201))
        after = await record(api, made, "opportunity")
        assert (after["class"] in ("won", "lost")) == (after["archived_at"] is None) == (closed.status_code == 201)
    assert await faults(api) == []


@pytest.mark.parametrize("kind", ["contacts", "opportunities"])
async def test_nothing_is_hung_on_an_account_that_is_archived_at_the_same_time(
    api: Api, ae: str, manager: str, kind: str
) -> None:
    for n, (lead, made) in enumerate(await converted_leads(api, ae)):
        body = {"email": f"dan@{n}.example"} if kind == "contacts" else {"name": "Renewal"}
        undone, added = await asyncio.gather(
            ask(api, lead, manager), api.call("POST", f"/v1/{kind}", {**body, "account_id": made["account"]["id"]})
        )
        assert undone.status_code == 200, undone.text
        assert added.status_code in (201, 422), added.text
        is_added = added.status_code == 201
        assert (await live(api, made) == ["account"]) == is_added
        assert ("account" in dict(whys(undone.json()))) == is_added
    left = await rows(
        api,
        f"SELECT FROM {kind} k JOIN accounts a ON a.id = k.account_id"
        " WHERE a.archived_at IS NOT NULL AND k.archived_at IS NULL",
    )
    assert left == []


async def test_a_merge_at_the_same_time_comes_before_or_after(api: Api, ae: str, manager: str) -> None:
    for n, (lead, made) in enumerate(await converted_leads(api, ae)):
        other = await api.lead(email=f"second@firm-{n}.ro", company=f"Firm {n}")
        merge = api.call("POST", f"/v1/leads/{lead['id']}/merge", {"into": other["id"]}, actor=manager)
        undone, merged = await asyncio.gather(ask(api, lead, manager), merge)
        assert merged.status_code == 200, merged.text
        assert (undone.status_code, undone.json().get("code")) in ((200, None), (409, "lead_merged"))
        assert await live(api, made) == ([] if undone.status_code == 200 else list(KINDS))
    assert await faults(api) == []


async def test_a_conversion_of_a_colleague_at_the_same_time_links_to_what_stays(
    api: Api, ae: str, manager: str
) -> None:
    for n, (lead, made) in enumerate(await converted_leads(api, ae)):
        colleague = await sql_lead(api, ae, email=f"dan@firm-{n}.ro", company=f"Firm {n}")
        undone, answer = await asyncio.gather(ask(api, lead, manager), convert(api, colleague, ae))
        assert (undone.status_code, answer.status_code) == (200, 201), (undone.text, answer.text)
        theirs = answer.json()["conversion"]
        shares = theirs["account"]["id"] == made["account"]["id"]
        assert (await record(api, theirs, "account"))["archived_at"] is None
        assert ("account" in dict(whys(undone.json()))) == shares
    assert await count(api, "conversions") == 2 * ROUNDS
    assert await faults(api) == []
