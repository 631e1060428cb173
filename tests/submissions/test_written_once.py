"""What becomes of a form fill is written once: its items are never updated, and it is updated when it is processed."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from app.database.transaction import Tx
from app.submissions import across, process
from tests.api import Api
from tests.imports.lists import make_lists, process_lists, table
from tests.submissions.sender import count, make_sender, person
from tests.submissions.sender import process as process_all
from tests.submissions.test_repeats import submission_ids
from tests.waiting import until

pytestmark = pytest.mark.own_database

ROUTE = [{"when": f"item.do == '{verdict}'", "do": verdict} for verdict in ("activity", "consent", "spam", "test")]
WRITTEN = """
    SELECT n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted FROM pg_stat_user_tables WHERE relname = $1
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def written(api: Api, name: str, inserted: int) -> tuple[int, int]:
    """How many rows of a table were updated and deleted, once PostgreSQL has counted those that were inserted."""
    await api.app.state.engine.dispose()  # a connection that ends reports what it counted
    connection = await asyncpg.connect(api.app.state.settings.database_url.replace("+asyncpg", ""))

    async def counted() -> bool:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        return (await connection.fetchrow(WRITTEN, name))["inserted"] == inserted

    try:
        await until(counted, f"{inserted} rows of {name} are counted")
        row = await connection.fetchrow(WRITTEN, name)
    finally:
        await connection.close()
    return row["updated"], row["deleted"]


async def test_items_of_every_kind_are_inserted_as_they_stay(api: Api) -> None:
    sender = await make_sender(api, overrides={"items": "body", "route": ROUTE})
    ana, ion = person(id="1", company="A"), person(id="1")
    bodies: list[list[dict[str, Any]]] = [
        [ana, person(), {"name": "Nobody"}, *(person(do=rule["do"]) for rule in ROUTE)],
        [ana],  # again
        [{**ana, "company": "B"}],  # revised
        [ion],  # the key of somebody else
        [person(id="2"), person(id="2"), {"id": "3", "name": "Nobody"}, person(id="3")],
    ]
    for body in bodies:
        await sender.post(json.dumps(body), Content_Type="application/json")
    await process_all(api)
    rows = (await api.get("/v1/submissions"))["data"]
    verdicts = [item["verdict"] for row in rows for item in row["items"]]
    assert set(verdicts) == {"lead", "quarantined", "duplicate", "revised", *(rule["do"] for rule in ROUTE)}
    assert len(verdicts) == sum(map(len, bodies))
    mapped = await count(api, "SELECT count(*) FROM submission_items WHERE mapped IS NOT NULL")
    assert mapped == len(verdicts) - verdicts.count("duplicate")
    assert await written(api, "submission_items", len(verdicts)) == (0, 0)
    assert await written(api, "submissions", len(bodies)) == (len(bodies), 0)


async def test_rows_of_a_list_are_inserted_as_they_stay(api: Api) -> None:
    lists = await make_lists(api)
    await lists.send(table(("email", "company"), *((f"p{n}@a.example", "A") for n in range(5)), ("", "Nobody")))
    await process_lists(api)
    assert (
        await count(api, "SELECT count(*) FROM submission_items WHERE lead_id IS NOT NULL AND mapped IS NOT NULL") == 5
    )
    assert await written(api, "submission_items", 6) == (0, 0)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(("name", "verdict", "leads"), [("Ana Pop", "duplicate", 1), ("Ion Rusu", "lead", 2)])
async def test_of_two_processes_with_one_key_the_second_finds_what_the_first_kept(
    api: Api, name: str, verdict: str, leads: int, kept: bool
) -> None:
    sender, engine = await make_sender(api), api.app.state.engine
    for one in ("Ana Pop", name):
        email = f"{one.split()[0].lower()}@a.example"
        await sender.post(person(name=one, email=email, submission_key="once"))
    second, first = await submission_ids(api)  # the newest first
    async with engine.connect() as tx:
        await tx.command("BEGIN")
        await _process(tx, api, first)
        other = asyncio.create_task(process.process_one(engine, api.tenant_id, second, api.clock.now))

        async def it_waits() -> bool:
            return bool(await count(api, WAITING))

        await until(it_waits, "the second process waits for the first")
        await tx.command("COMMIT" if kept else "ROLLBACK")
        assert await other
    items = {row["id"]: row["items"] for row in (await api.get("/v1/submissions"))["data"]}
    found = sorted(item["verdict"] for of_one in items.values() for item in of_one)
    assert found == (sorted(["lead", verdict]) if kept else ["lead"])
    await process_all(api)
    assert await count(api, "SELECT count(*) FROM leads") == leads
    assert await count(api, "SELECT count(*) FROM activities") == leads
    assert await count(api, "SELECT count(*) FROM submission_items") == 2


async def _process(tx: Tx, api: Api, submission_id: Any) -> None:
    rows = await across.claim_one(tx, api.tenant_id, submission_id)
    assert len(rows) == 1
    await process._process(tx, rows, api.now, process.settle)
