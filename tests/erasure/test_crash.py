"""An erasure that a fault or a crash interrupts: it happened or it did not, and its steps go on where they were."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from app.erasure.across import SETTLED
from app.erasure.steps import run_steps
from tests.api import Api
from tests.conversion.steps import all_rows, rows
from tests.erasure.people import REASON, erase, finish, where
from tests.erasure.test_search import Person, whole_life
from tests.merging.steps import faults
from tests.submissions.sender import Sender, make_sender
from tests.waiting import TIMEOUT_SECONDS, until

# Each table that an erasure writes in its transaction, so that it fails there.
WRITTEN = (
    *("suppression_salts", "lead_changes", "transitions", "events", "submissions", "submission_items", "suppressions"),
    *("accounts", "contacts", "opportunities", "identities", "match_keys", "touches", "consents", "bant"),
    *("activities", "lead_merges", "conversions", "idempotency_keys", "leads", "erasures", "audit"),
)
BREAK = """
    CREATE OR REPLACE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'broken off'; END $$
"""
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'erasing' AND wait_event_type = 'Lock'"


async def run(api: Api, statement: str) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text(statement))


async def test_an_erasure_that_fails_at_any_table_changes_nothing_and_can_be_repeated(api: Api) -> None:
    people = {role: await api.user(role) for role in ("manager", "ae", "sdr")}
    person = Person(1)
    lead = await whole_life(api, person, people)
    await run(api, BREAK)
    before = await all_rows(api)
    for table in WRITTEN:
        await run(
            api,
            f"CREATE TRIGGER broken BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION break_off()",
        )
        answer = await api.call("POST", f"/v1/leads/{lead['id']}/erasure", REASON)
        await run(api, f"DROP TRIGGER broken ON {table}")
        assert answer.status_code >= 500, f"{table} is written: {answer.text}"
        assert await all_rows(api) == before, table
        assert (await api.reload(lead))["fields"]["email"] == person.email
    await erase(api, lead)
    assert await where(api, person.needles) == []
    assert await faults(api) == []


async def erased_with_copies(api: Api) -> tuple[Sender, Person, dict[str, Any]]:
    """An erased person of whom five bodies that nobody could read are still there."""
    person, sender = Person(1), await make_sender(api)
    for n in range(5):
        await sender.post_and_process(f'{{"broken {n}": "{person.email} {person.first}')
    lead = await api.lead(**person.fields)
    await erase(api, lead, steps=False)
    return sender, person, lead


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.erasure.worker", url, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def state(api: Api) -> tuple[int, str | None, bool, int]:
    """Where the erasure stands, whether it has ended, and how many bodies it has still to empty."""
    query = """SELECT step, after, finished_at IS NOT NULL, (SELECT count(*) FROM submissions WHERE sha256 <> '')
                 FROM erasures"""
    return tuple((await rows(api, query))[0])


async def is_gone(api: Api, lead: dict[str, Any]) -> None:
    answer = await api.call("GET", f"/v1/leads/{lead['id']}")
    assert (answer.status_code, answer.json()["code"]) == (410, "erased")


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_a_worker_that_is_killed_in_a_page_repeats_this_page_and_no_other(api: Api, url: str, page: int) -> None:
    _, person, lead = await erased_with_copies(api)
    await is_gone(api, lead)
    ids = [row.id for row in await rows(api, "SELECT id FROM submissions ORDER BY id")]
    async with api.app.state.engine.connect() as watching, api.app.state.engine.begin() as holding:
        await holding.driver.execute("SELECT FROM submissions WHERE id = $1 FOR UPDATE", ids[2 * page - 2])

        async def blocked() -> bool:
            return bool(await watching.driver.fetchval(BLOCKED))

        async with worker(url) as process:
            await until(blocked, f"the worker waits in page {page}")
            process.send_signal(signal.SIGKILL)
            await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS)
        step, after, ended, left = await state(api)
    assert (step, after is not None, ended, left) == (0, page > 1, False, 5 - 2 * (page - 1))
    await is_gone(api, lead)
    assert await where(api, person.needles) != []
    async with worker(url) as process:
        assert await asyncio.wait_for(process.wait(), TIMEOUT_SECONDS) == 0
    assert await state(api) == (2, None, True, 0)
    assert await where(api, person.needles) == []
    await is_gone(api, lead)
    assert await faults(api) == []


async def test_several_workers_at_once_end_the_same_erasures(api: Api, url: str) -> None:
    _, person, lead = await erased_with_copies(api)
    other = await api.lead(email="grace@navy.example", full_name="Grace Hopper")
    await erase(api, other, steps=False)
    async with worker(url) as one, worker(url) as two:
        assert [await asyncio.wait_for(each.wait(), TIMEOUT_SECONDS) for each in (one, two)] == [0, 0]
    await finish(api)  # a worker that finds all erasures locked by another has nothing to do, and ends
    assert await where(api, [*person.needles, "grace@navy", "hopper"]) == []
    for each in (lead, other):
        assert (await api.get(f"/v1/leads/{each['id']}/erasure"))["finished_at"] is not None


async def test_the_steps_begin_when_all_that_was_under_way_is_written(api: Api) -> None:
    _, person, lead = await erased_with_copies(api)
    (erasure,) = await rows(api, "SELECT erased_at FROM erasures")
    engine = api.app.state.engine
    assert await run_steps(engine, erasure.erased_at + SETTLED - SETTLED / 1000) == 0
    assert await where(api, person.needles) != []
    assert await run_steps(engine, erasure.erased_at + SETTLED) == 1
    await finish(api)
    assert await where(api, person.needles) == []
    await is_gone(api, lead)
