"""How many round trips a conversion takes, and what happens where another transaction takes a key meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app import ids
from tests.api import Api
from tests.conversion.steps import all_rows, convert, count, events, rows, sql_lead
from tests.merging.steps import faults
from tests.plans import statements_of
from tests.waiting import until

ANNA = {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft"}
ANY = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT")
ADD_ACCOUNT = """
    INSERT INTO accounts (tenant_id, id, name, domain, created_at, updated_at)
    VALUES (:tenant_id, :id, 'Another', :domain, now(), now())
"""
ADD_CONTACT = """
    INSERT INTO contacts (tenant_id, id, email, email_key, created_at, updated_at)
    VALUES (:tenant_id, :id, :key, :key, now(), now())
"""


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


async def waits_for_a_lock(api: Api) -> bool:
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await rows(api, waiting))


async def while_taken(
    api: Api, statement: str, values: dict[str, Any], work: Awaitable[httpx.Response]
) -> httpx.Response:
    """The response to a request that waits for a key, which another transaction has taken and then commits."""

    async def asked() -> httpx.Response:
        return await work

    async with api.app.state.engine.begin() as tx:
        await tx.execute(text(statement), {"tenant_id": api.tenant_id, **values})
        asking = asyncio.create_task(asked())
        await until(lambda: waits_for_a_lock(api), "the conversion waits for the key")
    return await asking


@pytest.mark.parametrize("consents", [[], [{"purpose": "email_marketing", "state": "given"}]])
async def test_a_conversion_takes_six_round_trips(api: Api, ae: str, consents: list[Any]) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    if consents:
        said = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": consents})
        assert said.status_code == 200, said.text
    await convert(api, await sql_lead(api, ae, email="dan@other.ro", company="Other"), ae)  # caches the key
    with statements_of(api.app.state.engine, ANY) as ran:
        answer = await convert(api, lead, ae)
    assert answer.status_code == 201, answer.text
    asked = [query for query, _ in ran if "pg_notify" not in query]
    assert len(asked) == 6, [query[:80] for query in asked]
    assert (asked[0], asked[-1]) == ("BEGIN", "COMMIT")


async def test_an_account_that_another_transaction_makes_meanwhile_is_linked(api: Api, ae: str) -> None:
    lead, other = await sql_lead(api, ae, **ANNA), ids.new_id()
    values = {"id": other, "domain": "nordsoft.ro"}
    answer = await while_taken(api, ADD_ACCOUNT, values, convert(api, lead, ae, key="once"))
    assert answer.status_code == 201, answer.text
    made = answer.json()["conversion"]
    assert made["account"] == {"id": ids.show("account", other), "outcome": "linked"}
    tables = ("accounts", "contacts", "opportunities", "conversions", "opportunity_transitions")
    assert [await count(api, table) for table in tables] == [1] * 5
    assert [one.type for one in await events(api, lead)].count("lead.converted") == 1
    assert (await api.reload(lead))["version"] == lead["version"] + 1
    assert (await convert(api, lead, ae, key="once")).content == answer.content
    assert await faults(api) == []


async def test_a_contact_that_another_transaction_makes_meanwhile_is_linked(api: Api, ae: str) -> None:
    lead, other = await sql_lead(api, ae, **ANNA), ids.new_id()
    answer = await while_taken(api, ADD_CONTACT, {"id": other, "key": ANNA["email"]}, convert(api, lead, ae))
    assert answer.status_code == 201, answer.text
    made = answer.json()["conversion"]
    assert made["contact"] == {"id": ids.show("contact", other), "outcome": "linked"}
    assert [await count(api, table) for table in ("accounts", "contacts")] == [1, 1]


async def test_a_key_of_an_existing_record_that_another_transaction_takes_meanwhile_is_not_filled(
    api: Api, ae: str
) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    account = await api.post("/v1/accounts", {"name": "North"})
    order = {"account": {"mode": "use", "id": account["id"]}}
    values = {"id": ids.new_id(), "domain": "nordsoft.ro"}
    answer = await while_taken(api, ADD_ACCOUNT, values, convert(api, lead, ae, order))
    assert answer.status_code == 201, answer.text
    assert answer.json()["conversion"]["account"] == {"id": account["id"], "outcome": "linked"}
    assert (await api.get(f"/v1/accounts/{account['id']}"))["domain"] is None


async def test_a_batch_of_which_one_item_meets_such_a_key_converts_all(api: Api, ae: str) -> None:
    leads = [await sql_lead(api, ae, **ANNA), await sql_lead(api, ae, email="dan@other.ro", company="Other")]
    body = {"items": [{"lead_id": one["id"]} for one in leads], "atomic": True}
    batch = api.call("POST", "/v1/conversions/batch", body, actor=ae, headers={"Idempotency-Key": "batch"})
    answer = await while_taken(api, ADD_ACCOUNT, {"id": ids.new_id(), "domain": "nordsoft.ro"}, batch)
    assert answer.status_code == 200, answer.text
    found = [one["conversion"]["account"]["outcome"] for one in answer.json()["results"]]
    assert found == ["linked", "created"]
    assert [await count(api, table) for table in ("accounts", "contacts", "conversions")] == [2, 2, 2]


@pytest.mark.parametrize(("key", "status"), [("accounts_domain_key", 503), ("another_key", 500)])
async def test_a_key_that_is_taken_at_each_try_is_answered_with_503_and_writes_nothing(
    api: Api, ae: str, key: str, status: int
) -> None:
    """Here a trigger says so. The fault of another constraint is a fault."""
    lead = await sql_lead(api, ae, **ANNA)
    raising = f"RAISE unique_violation USING CONSTRAINT = '{key}'"
    async with api.app.state.engine.begin() as tx:
        await tx.execute(
            text(f"CREATE FUNCTION taken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raising}; END $$")
        )
        await tx.execute(text("CREATE TRIGGER taken BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION taken()"))
    before = await all_rows(api)
    answer = await convert(api, lead, ae, key="k")
    assert answer.status_code == status, answer.text
    assert await all_rows(api) == before
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("DROP FUNCTION taken CASCADE"))
    assert (await convert(api, lead, ae, key="k")).status_code == 201
