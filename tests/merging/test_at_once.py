"""People who may be one and arrive at the same instant, in transactions that do not see each other, are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from app import ids
from app.database.faults import run_with_retries
from app.database.turn import Turn
from app.leads import compare_again
from app.leads.compare_again import compare_due
from app.leads.duplicates import MOST_TOLD
from app.settings import Settings
from app.submissions import across
from app.submissions.process import process_batch, process_one
from tests.api import Api, running
from tests.erasure.people import erase
from tests.imports.lists import make_lists, table
from tests.merging.at_once import (
    at_gate,
    check_all_know_each_other,
    compare,
    gate,
    pairs_of,
    second_process,
    settled,
    together,
    told,
)
from tests.merging.steps import Lead, faults, merged
from tests.submissions.sender import count, make_sender
from tests.waiting import until

WAITING = "SELECT count(*) FROM likeness_checks"


def person(n: int) -> dict[str, str]:
    return {"email": f"anna{n}@nordsoft.ro", "full_name": "Anna Nowak"}


async def post(api: Api, n: int) -> Lead:
    return dict(await api.post("/v1/leads", {"fields": person(n)}))


@pytest.fixture
async def two(api: Api, dsn: str) -> list[Lead]:
    """Two people who may be one and do not know it yet."""
    async with second_process(api) as other:
        leads = await together(dsn, 2, [post(api, 0), post(other, 1)])
    assert await pairs_of(api) == []
    await settled(api)
    return leads


@pytest.mark.parametrize("number", [2, 10])
async def test_alike_people_posted_at_once_know_each_other_in_the_end(api: Api, dsn: str, number: int) -> None:
    async with second_process(api) as other:
        leads = await together(dsn, 2, [post((api, other)[n % 2], n) for n in range(number)])
    assert len(await pairs_of(api)) < number * (number - 1) / 2, "the two that wrote first did not see each other"
    assert await compare(api) >= 2
    await check_all_know_each_other(api, dsn, leads)
    assert await count(api, WAITING) == 0


@pytest.mark.parametrize("number", [2, 10])
async def test_alike_people_of_two_sources_know_each_other_in_the_end(api: Api, dsn: str, number: int) -> None:
    senders = [await make_sender(api), await make_sender(api)]
    sent = [(await senders[n % 2].post(person(n))).json()["submission"]["id"] for n in range(number)]
    engine, now = api.app.state.engine, api.clock.now
    one_by_one = [process_one(engine, api.tenant_id, ids.read("submission", each), now) for each in sent]
    assert all(await together(dsn, 2, one_by_one))
    assert len(await pairs_of(api)) < number * (number - 1) / 2
    await compare(api)
    await check_all_know_each_other(api, dsn, (await api.get("/v1/leads"))["data"])


@pytest.mark.parametrize("number", [2, 10])
async def test_alike_people_of_two_lists_know_each_other_in_the_end(api: Api, dsn: str, number: int) -> None:
    for part in range(2):
        people = [(each["email"], each["full_name"]) for each in map(person, range(part, number, 2))]
        await (await make_lists(api)).post(table(("email", "full_name"), *people))
    claim = partial(across.claim_listed, rested_at=api.now)
    lists = [process_batch(api.app.state.engine, api.clock.now, claim) for _ in range(2)]
    assert await together(dsn, 2, lists) == [1, 1]
    assert len(await pairs_of(api)) == 2 * (number // 2) * (number // 2 - 1) / 2, "those of one list"
    assert await compare(api) == 2
    await check_all_know_each_other(api, dsn, (await api.get("/v1/leads"))["data"])


async def test_a_change_that_makes_a_lead_like_one_that_arrives_at_that_moment_is_found(api: Api, dsn: str) -> None:
    old = await api.post("/v1/leads", {"fields": {"email": "anna0@nordsoft.ro", "full_name": "Annette Weber"}})
    await compare(api)
    change = api.call("PATCH", f"/v1/leads/{old['id']}", {"fields": {"full_name": "Anna Nowak"}})
    changed, new = await together(dsn, 2, [change, post(api, 1)])
    assert (changed.status_code, changed.json()["duplicate_suspected"]) == (200, False)
    await compare(api)
    await check_all_know_each_other(api, dsn, [old, new])


async def test_two_workers_tell_of_a_pair_once(
    api: Api, dsn: str, two: list[Lead], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_again, "BATCH", 1)

    async def work() -> int:
        return await run_with_retries(partial(compare_due, api.app.state.engine, api.clock.now))

    async with gate(dsn, "duplicates") as connection:
        first = asyncio.create_task(work())
        await at_gate(connection, 1)
        second = asyncio.create_task(work())
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"

        async def waits() -> bool:
            return await connection.fetchval(blocked) == 2

        await until(waits, "the second worker to wait for the leads of the first")
    assert list(await asyncio.gather(first, second)) == [1, 1]
    await check_all_know_each_other(api, dsn, two)


async def test_an_arrival_and_the_worker_tell_of_a_pair_once(api: Api, dsn: str, two: list[Lead]) -> None:
    async with gate(dsn, "duplicates") as connection:
        worker = asyncio.create_task(compare_due(api.app.state.engine, api.clock.now))
        await at_gate(connection, 1)
        again = asyncio.create_task(api.call("POST", "/v1/leads", {"fields": {**person(1), "job_title": "CTO"}}))
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"

        async def waits() -> bool:
            return await connection.fetchval(blocked) == 2

        await until(waits, "the arrival to wait for its lead")
    assert await worker == 2
    assert (await again).status_code == 200
    await compare(api)
    await check_all_know_each_other(api, dsn, two)


async def test_a_worker_that_dies_leaves_everything_to_the_next(api: Api, dsn: str, two: list[Lead]) -> None:
    async with gate(dsn, "duplicates") as connection:
        worker = asyncio.create_task(compare_due(api.app.state.engine, api.clock.now))
        (pid,) = await at_gate(connection, 1)
        await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Exception, match=r"terminat|connection"):
            await worker
    assert (await pairs_of(api), await count(api, WAITING)) == ([], 2)
    assert not (await told(api, dsn))
    await compare(api)
    await check_all_know_each_other(api, dsn, two)


async def test_a_lead_that_cannot_be_compared_keeps_no_other_from_it(api: Api, dsn: str, two: list[Lead]) -> None:
    refused = await asyncpg.connect(dsn)
    await refused.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE TRIGGER refused BEFORE INSERT ON duplicates FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    await api.post("/v1/leads", {"fields": {"email": "jan@wasko.pl"}})
    third = await api.post("/v1/leads", {"fields": {"email": "j.lis@gmail.com", "full_name": "Jan Lis"}})
    assert await count(api, WAITING) == 3
    await settled(api)
    await compare_due(api.app.state.engine, api.clock.now)
    assert not (await api.reload(third))["duplicate_suspected"]
    assert (await pairs_of(api), await count(api, WAITING)) == ([], 2), "that of the third is done"
    await refused.execute("DROP TRIGGER refused ON duplicates")
    await refused.close()
    assert await compare(api) == 2
    await check_all_know_each_other(api, dsn, two)


async def test_leads_wait_for_older_transactions_that_write_and_for_no_others(api: Api, dsn: str) -> None:
    older, younger, reader = [await asyncpg.connect(dsn) for _ in range(3)]
    await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM leads")
    await older.execute("BEGIN; SELECT pg_current_xact_id()")
    await post(api, 0)
    await younger.execute("BEGIN; SELECT pg_current_xact_id()")
    assert await compare_due(api.app.state.engine, api.clock.now) == 0
    await older.execute("COMMIT")
    assert await compare(api) == 1
    for connection in (older, younger, reader):
        await connection.close()


async def test_who_are_two_people_by_a_verdict_are_not_told_of_again(api: Api, dsn: str, two: list[Lead]) -> None:
    await compare(api)
    (pair,) = (await api.get("/v1/duplicates"))["data"]
    await api.post(
        f"/v1/duplicates/{pair['id']}/verdict",
        {"verdict": "not_duplicate"},
        status=200,
        actor=await api.user("manager"),
    )
    before = await told(api, dsn)
    for lead in two:
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"job_title": "CTO"}})
    assert await compare(api) == 2
    assert await told(api, dsn) == before
    assert await pairs_of(api) == []
    assert [(await api.reload(lead))["duplicate_suspected"] for lead in two] == [False, False]


async def test_what_arrivals_told_of_is_not_told_of_again(api: Api, dsn: str) -> None:
    leads = [await post(api, n) for n in range(15)]
    versions = [(await api.reload(lead))["version"] for lead in leads]
    before, pairs = await told(api, dsn), await pairs_of(api)
    assert len(pairs) == sum(min(n, MOST_TOLD) for n in range(15))
    assert await compare(api) == 15
    assert (await told(api, dsn), await pairs_of(api)) == (before, pairs)
    assert [(await api.reload(lead))["version"] for lead in leads] == versions


async def test_a_lead_that_was_merged_or_erased_before_it_is_compared_is_left_out(
    api: Api, dsn: str, two: list[Lead]
) -> None:
    third, other = await post(api, 2), await api.lead(email="jan@wasko.pl")
    await erase(api, two[0])
    await merged(api, two[1], into=other)
    before = len(await pairs_of(api))
    assert await compare(api) >= 3
    assert before == 0 == len([pair for pair in await pairs_of(api) if third["id"] not in pair])
    assert await faults(api) == []


async def test_leads_of_a_dump_from_another_server_are_compared_at_once(api: Api, dsn: str, two: list[Lead]) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE likeness_checks SET written_by = written_by + 1000000000")
    await connection.close()
    assert await compare_due(api.app.state.engine, api.clock.now) == 2
    await check_all_know_each_other(api, dsn, two)


async def test_tenants_are_served_in_turn(api: Api, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_again, "BATCH", 1)
    tenants = sorted(ids.new_id() for _ in range(3))
    rows = [(tenant_id, [ids.new_id()]) for tenant_id, n in zip(tenants, (3, 1, 2), strict=True) for _ in range(n)]
    connection = await asyncpg.connect(dsn)
    await connection.executemany("INSERT INTO likeness_checks (tenant_id, lead_ids) VALUES ($1, $2)", rows)
    await connection.close()
    await settled(api)
    turn, served = Turn(), []
    while await compare_due(api.app.state.engine, api.clock.now, turn):
        served.append(tenants.index(turn.after))
    assert served == [0, 1, 2, 0, 2, 0]


@pytest.fixture
async def working(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("work",)) as api:
        yield api


async def test_the_workers_of_a_service_do_it(working: Api, dsn: str) -> None:
    async with second_process(working) as other:
        leads = await together(dsn, 2, [post(working, 0), post(other, 1)])

    async def known() -> bool:
        return bool(await pairs_of(working))

    await until(known, "the worker to compare them")
    await check_all_know_each_other(working, dsn, leads)
