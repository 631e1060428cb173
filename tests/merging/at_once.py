"""Steps of tests about leads that are written at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from itertools import combinations, permutations
from typing import Any, Final

import asyncpg
import httpx
import orjson

from app.leads.compare_again import compare_due
from app.web.application import create_app
from tests.api import Api
from tests.merging.steps import Lead, faults
from tests.submissions.sender import count
from tests.waiting import until

GATE: Final = 87
HOLD: Final = f"""
    CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate()
"""
WAITING: Final = "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid = $1"
UNSETTLED: Final = (
    "SELECT count(*) FROM likeness_checks WHERE written_by >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)
TOLD: Final = "SELECT data FROM events WHERE type = 'lead.duplicate_suspected'"


@asynccontextmanager
async def gate(dsn: str, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Until the block ends, all transactions wait before they write rows of the table; by `at_gate` how many do."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(HOLD % table)
        await connection.execute(f"SELECT pg_advisory_lock({GATE})")
        yield connection
        await connection.execute(f"SELECT pg_advisory_unlock({GATE})")
    finally:
        await connection.close()


async def at_gate(connection: asyncpg.Connection, number: int) -> list[int]:
    """Waits until at least this many transactions wait at the gate; their processes in the database."""

    async def arrived() -> bool:
        return len(await connection.fetch(WAITING, GATE)) >= number

    await until(arrived, f"{number} transactions to write")
    return [row["pid"] for row in await connection.fetch(WAITING, GATE)]


async def together(dsn: str, number: int, posts: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results; at least `number` transactions have read before any of them has written."""
    async with gate(dsn, "match_keys") as connection:
        tasks = [asyncio.ensure_future(post) for post in posts]
        await at_gate(connection, number)
    return await asyncio.gather(*tasks)


@asynccontextmanager
async def second_process(api: Api) -> AsyncIterator[Api]:
    """The same service for the same tenant with a pool and batches of its own, as another process has them."""
    app = create_app(api.app.state.settings.model_copy(update={"roles": ()}))
    app.state.clock = api.app.state.clock
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://baton.example") as client:
            yield Api(app, client, api.key, api.tenant_id)


async def settled(api: Api) -> None:
    """Waits until the older transactions of all that is to be compared have ended, those of other tests too."""

    async def ended() -> bool:
        return await count(api, UNSETTLED) == 0

    await until(ended, "older transactions to end")


async def compare(api: Api) -> int:
    """Compares all leads that wait for it; the number of transactions that had written them."""
    await settled(api)
    total = 0
    while number := await compare_due(api.app.state.engine, api.clock.now):
        total += number
    return total


async def pairs_of(api: Api) -> list[tuple[str, ...]]:
    """All open pairs, each sorted."""
    listed = (await api.get("/v1/duplicates", params={"limit": 200}))["data"]
    return sorted(tuple(sorted(lead["id"] for lead in pair["leads"])) for pair in listed)


async def told(api: Api, dsn: str) -> Counter[tuple[str, str]]:
    """How often events told a lead (the first) of another one."""
    connection = await asyncpg.connect(dsn)
    try:
        events = [orjson.loads(row["data"]) for row in await connection.fetch(TOLD)]
    finally:
        await connection.close()
    return Counter((event["lead_id"], other["lead_id"]) for event in events for other in event["candidates"])


async def check_all_know_each_other(api: Api, dsn: str, leads: list[Lead]) -> None:
    """Each two of the leads are one pair, told of once; all leads are flagged, and each has an event."""
    names = [lead["id"] for lead in leads]
    assert await pairs_of(api) == sorted(tuple(sorted(pair)) for pair in combinations(names, 2))
    assert [(await api.reload(lead))["duplicate_suspected"] for lead in leads] == [True] * len(leads)
    events = await told(api, dsn)
    assert set(events) <= set(permutations(names, 2))
    assert set(events.values()) == {1}
    assert {tuple(sorted(pair)) for pair in events} == set(await pairs_of(api))
    assert {lead for lead, _ in events} == set(names)
    assert await faults(api) == []
