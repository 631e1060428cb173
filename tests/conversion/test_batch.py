"""Many conversions in one request."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from app.web.parameters import MOST_NAMED
from tests.api import Api
from tests.contract.contract import unknown
from tests.conversion.steps import KEYS, all_rows, converted, count, sql_lead


async def batch(api: Api, actor: str | None, items: list[Any], **members: Any) -> httpx.Response:
    headers = {"Idempotency-Key": f"batch-{next(KEYS)}"}
    return await api.call("POST", "/v1/conversions/batch", {"items": items, **members}, actor=actor, headers=headers)


async def test_results_are_in_order_and_a_refusal_does_not_affect_the_other_items(api: Api) -> None:
    ae = await api.user("ae")
    one, done, two = [await sql_lead(api, ae, email=f"p{n}@firm-{n}.ro", company=f"Firm {n}") for n in range(3)]
    before = await converted(api, done, ae)
    early = await api.lead()
    leads = [two, done, early, one]
    answer = await batch(api, ae, [{"lead_id": lead["id"]} for lead in leads])
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [each["lead_id"] for each in results] == [lead["id"] for lead in leads]
    assert [each["status"] for each in results] == [201, 409, 409, 201]
    assert results[1]["problem"]["conversion"] == before
    assert results[2]["problem"]["code"] == "transition_not_allowed"
    assert await count(api, "conversions") == 3
    assert (await api.reload(one))["stage"] == "converted"


async def test_an_atomic_batch_converts_all_or_none(api: Api) -> None:
    ae = await api.user("ae")
    lead, early = await sql_lead(api, ae, email="a@firm.ro"), await api.lead()
    before = await all_rows(api)
    answer = await batch(api, ae, [{"lead_id": lead["id"]}, {"lead_id": early["id"]}], atomic=True)
    assert (answer.status_code, answer.json()["code"], answer.json()["index"]) == (409, "transition_not_allowed", 1)
    assert await all_rows(api) == before
    assert (await batch(api, ae, [{"lead_id": lead["id"]}], atomic=True)).json()["results"][0]["status"] == 201


async def test_a_refused_atomic_batch_names_no_record_that_it_made_but_the_item_that_made_it(api: Api) -> None:
    ae = await api.user("ae")
    leads = [await sql_lead(api, ae, email=f"p{n}@firm-{n}.ro", company=f"Firm {n}") for n in range(2)]
    first, again = ({"lead_id": lead["id"]} for lead in leads)
    same = {**again, "contact": {"mode": "create", "values": {"email": "p0@firm-0.ro"}}}
    elsewhere = {
        **again,
        "account": {"mode": "create"},
        "contact": {"mode": "match_or_create", "values": {"email": "p0@firm-0.ro"}},
    }
    before = await all_rows(api)
    for items, code in (
        ([first, first], "lead_already_converted"),
        ([first, same], "already_exists"),
        ([first, elsewhere], "contact_not_in_account"),
    ):
        answer = await batch(api, ae, items, atomic=True)
        problem = answer.json()
        assert (problem["code"], problem["index"], problem["conflicts_with_index"]) == (code, 1, 0), answer.text
        assert not re.search(r"(acc|con|opp|cnv|trn)_", answer.text)
        assert await all_rows(api) == before


async def test_two_batches_with_the_same_leads_convert_each_once(api: Api) -> None:
    ae = await api.user("ae")
    leads = [await sql_lead(api, ae, email=f"p{n}@firm-{n % 2}.ro", company=f"Firm {n % 2}") for n in range(6)]
    items = [{"lead_id": lead["id"]} for lead in leads]
    answers = await asyncio.gather(batch(api, ae, items), batch(api, ae, items[::-1]))
    assert [one.status_code for one in answers] == [200, 200]
    statuses = [each["status"] for one in answers for each in one.json()["results"]]
    assert sorted(statuses) == [201] * 6 + [409] * 6
    assert (await count(api, "accounts"), await count(api, "contacts")) == (2, 6)


async def test_a_batch_has_at_most_100_items_and_needs_an_idempotency_key(api: Api) -> None:
    item = {"lead_id": "lead_01k00000000000000000000000"}
    keyless = await api.call("POST", "/v1/conversions/batch", {"items": [item]})
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_required")
    for items in ([], [item] * 101):
        assert (await batch(api, None, items)).status_code == 422
    unknown = await batch(api, None, [item])
    assert unknown.json()["results"][0]["problem"]["code"] == "lead_not_found"


WRONG = [
    ({}, "lead_id"),
    ({"lead_id": "nobody"}, "lead_id"),
    ({"lead_id": "lead_01k00000000000000000000000", "unknown": 1}, "unknown"),
    ({"lead_id": "lead_01k00000000000000000000000", "account": []}, "account"),
    (5, ""),
]


async def test_an_item_of_a_wrong_form_has_its_own_result_unless_the_batch_is_atomic(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email="ana@firm.ro", company="Firm")
    wrong = [item for item, _ in WRONG]
    places = [f"items.{n}.{field}".rstrip(".") for n, (_, field) in enumerate(WRONG)]
    answer = await batch(api, ae, [*wrong, {"lead_id": lead["id"]}], atomic=True)
    assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (422, places)
    assert (answer.json()["index"], answer.json()["lead_id"]) == (0, None)
    later = (await batch(api, ae, [{"lead_id": lead["id"]}, *wrong], atomic=True)).json()
    assert (later["index"], later["lead_id"], later["errors"][0]["field"]) == (
        1,
        None,
        f"items.1.{WRONG[0][1]}".rstrip("."),
    )
    assert await count(api, "conversions") == 0
    answer = await batch(api, ae, wrong)
    assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (422, places)
    *refused, made = (await batch(api, ae, [*wrong, {"lead_id": lead["id"]}])).json()["results"]
    assert (made["index"], made["status"], made["lead_id"]) == (len(wrong), 201, lead["id"])
    for number, one in enumerate(refused):
        assert (one["index"], one["status"], one["lead_id"]) == (number, 422, None)
        assert one["problem"]["code"] == "request_invalid"
        assert [fault["field"] for fault in one["problem"]["errors"]] == [places[number]]


async def test_every_item_of_a_wrong_form_is_named_however_much_is_wrong_with_it(api: Api) -> None:
    item = {f"member_{number}": number for number in range(50)}
    answer = (await batch(api, await api.user("ae"), [item] * 100, atomic=True)).json()
    assert len(answer["errors"]) == 100 * MOST_NAMED
    assert {fault["field"].split(".")[1] for fault in answer["errors"]} == {str(number) for number in range(100)}


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("name", ["account", "contact", "opportunity"])
async def test_an_id_that_an_item_names_and_that_does_not_exist_is_named_with_the_item(
    api: Api, name: str, atomic: bool
) -> None:
    ae = await api.user("ae")
    leads = [await sql_lead(api, ae, email=f"p{n}@firm-{n}.ro", company=f"Firm {n}") for n in range(2)]
    order = {name: {"mode": "use", "id": unknown(f"{name}_id")}}
    answer = await batch(api, ae, [{"lead_id": leads[0]["id"]}, {"lead_id": leads[1]["id"], **order}], atomic=atomic)
    problem = answer.json() if atomic else answer.json()["results"][1]["problem"]
    assert problem["code"] == f"{name}_not_found", answer.text
    assert [fault["field"] for fault in problem["errors"]] == [f"items.1.{name}.id"]
