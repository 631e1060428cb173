"""Converted once, whether a request is retried, sent fifty times at once, or sent for two leads of one company."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import convert, converted, count, rows, sql_lead

ANNA = {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft"}
ROUNDS = 20


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


async def test_a_conversion_needs_an_idempotency_key(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    answer = await api.call("POST", f"/v1/leads/{lead['id']}/conversion", {"nonsense": 1}, actor=ae)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


async def test_11_retry_after_timeout(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    order: Any = {"opportunity": {"amount": {"value": "12000.00", "currency": "EUR"}}}
    first = await convert(api, lead, ae, order, key="once")
    again = await convert(api, lead, ae, order, key="once")
    other = {"opportunity": {"amount": {"value": "13000.00", "currency": "EUR"}}}
    reused = await convert(api, lead, ae, other, key="once")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    stored = await rows(api, "SELECT lead_id FROM idempotency_keys WHERE key = 'once'")
    assert stored[0].lead_id is not None


async def test_another_key_on_a_converted_lead_answers_with_the_conversion(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    answer = await convert(api, lead, ae)
    assert (answer.status_code, answer.json()["code"]) == (409, "lead_already_converted")
    assert answer.json()["conversion"] == made


async def test_a_refused_conversion_does_not_use_up_its_idempotency_key(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    refused = await convert(api, lead, ae, {"opportunity": {"class": "unqualified"}}, key="free")
    assert refused.status_code == 422
    assert (await convert(api, lead, ae, key="free")).status_code == 201


async def test_fifty_parallel_conversions_make_one(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    answers = await asyncio.gather(*(convert(api, lead, ae) for _ in range(50)))
    made = [one for one in answers if one.status_code == 201]
    others = [one.json() for one in answers if one.status_code != 201]
    assert len(made) == 1, [one["code"] for one in others]
    assert {one["code"] for one in others} == {"lead_already_converted"}
    assert all(one["conversion"] == made[0].json()["conversion"] for one in others)
    tables = ("accounts", "contacts", "opportunities", "conversions", "opportunity_transitions")
    assert [await count(api, table) for table in tables] == [1] * 5


async def test_fifty_requests_under_one_key_make_one(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    answers = await asyncio.gather(*(convert(api, lead, ae, key="same") for _ in range(50)))
    bodies = {one.content for one in answers if one.status_code == 201}
    others = {one.json()["code"] for one in answers if one.status_code != 201}
    assert len(bodies) == 1
    assert others <= {"idempotency_in_progress"}
    assert await count(api, "conversions") == 1


async def test_two_leads_of_one_new_company_make_one_account(api: Api, ae: str) -> None:
    pairs = []
    for n in range(ROUNDS):
        fields: Any = {"company": f"Company {n}"}
        pairs.append([await sql_lead(api, ae, email=f"{who}@company-{n}.ro", **fields) for who in ("anna", "dan")])
    for pair in pairs:
        answers = await asyncio.gather(*(convert(api, lead, ae) for lead in pair))
        assert [one.status_code for one in answers] == [201, 201], [one.text for one in answers]
        made = [one.json()["conversion"] for one in answers]
        assert made[0]["account"]["id"] == made[1]["account"]["id"]
        assert {one["account"]["outcome"] for one in made} == {"created", "linked"}
    assert (await count(api, "accounts"), await count(api, "contacts")) == (ROUNDS, 2 * ROUNDS)


async def test_two_leads_that_name_one_contact_make_one_contact(api: Api, ae: str) -> None:
    for n in range(5):
        pair = [await sql_lead(api, ae, email=f"{who}@firm-{n}.ro", company=f"Firm {n}") for who in ("anna", "dan")]
        order = {"contact": {"values": {"email": f"boss@firm-{n}.ro"}}}
        answers = await asyncio.gather(*(convert(api, lead, ae, order) for lead in pair))
        assert [one.status_code for one in answers] == [201, 201], [one.text for one in answers]
        made = [one.json()["conversion"] for one in answers]
        assert len({one["contact"]["id"] for one in made}) == 1
        assert len({one["account"]["id"] for one in made}) == 1
    assert (await count(api, "accounts"), await count(api, "contacts")) == (5, 5)


async def test_a_unique_key_that_two_conversions_fill_at_once_is_written_to_one_record(api: Api, ae: str) -> None:
    """Two accounts without a domain, two leads of one domain: the second to write leaves its account unchanged."""
    for n in range(5):
        accounts = [await api.post("/v1/accounts", {"name": name}) for name in (f"North {n}", f"South {n}")]
        pair = [await sql_lead(api, ae, email=f"{who}@race-{n}.ro", company=f"Race {n}") for who in ("anna", "dan")]
        orders = [{"account": {"mode": "use", "id": one["id"]}} for one in accounts]
        requests = zip(pair, orders, strict=True)
        answers = await asyncio.gather(*(convert(api, lead, ae, order) for lead, order in requests))
        assert [one.status_code for one in answers] == [201, 201], [one.text for one in answers]
        domains = [(await api.get(f"/v1/accounts/{one['id']}"))["domain"] for one in accounts]
        assert sorted(domains, key=str) == [None, f"race-{n}.ro"]
