"""The rows of a list are processed once each: beside others, in turn with other tenants, and across kill -9."""

from __future__ import annotations

import asyncio
import signal

import pytest

from app import ids
from app.database.turn import Turn
from app.imports import store
from app.leads import sql as leads_sql
from app.submissions import across
from app.submissions.process import process_batch
from tests.api import Api
from tests.bootstrap.test_serve import Start, start  # noqa: F401
from tests.imports.lists import Lists, make_lists, process_lists, table
from tests.submissions.sender import Sender, count, person
from tests.submissions.sender import process as process_forms
from tests.waiting import until
from tests.web.test_gather_killed import KEYS, WAITING

DONE = "SELECT count(*) FROM submission_items"


def people(number: int, name: str = "p") -> str:
    return table(("Name", "E-mail"), *((f"{name}{n}", f"{name}{n}@nordsoft.example") for n in range(number)))


async def other_tenant(api: Api) -> tuple[Api, Lists]:
    made = await api.post("/v1/tenants", {"name": "other", "policy": "waterfall"})
    theirs = Api(api.app, api.client, made["key"]["secret"], ids.read("tenant", made["tenant"]["id"]))
    return theirs, await make_lists(theirs)


async def test_a_killed_service_goes_on_with_the_first_row_that_has_no_verdict(
    api: Api,
    dsn: str,
    start: Start,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "ROWS_TOGETHER", 10)
    lists = await make_lists(api)
    made = await lists.post(people(200))
    settings = {"BATON_DATABASE_URL": dsn, "BATON_SECRET_KEYS": KEYS, "BATON_ROLES": "api,work"}
    async with api.app.state.engine.begin() as tx:
        await leads_sql.lock_identities(tx, api.tenant_id, [("email", "", "p100@nordsoft.example")])
        service = await asyncio.to_thread(start("serve", **settings).ready)
        await until(lambda: _counts(api, WAITING, 1), "the batch with the hundredth person waits for the lock")
        service.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(service.process.wait)
        assert 100 <= await count(api, DONE) < 200
    await until(lambda: _counts(api, WAITING, 0), "the server has noticed the end of the process")
    await process_lists(api)
    done = await lists.found(made)
    assert (done["state"], done["counts"]) == ("completed", {"lead": 200})
    assert await count(api, "SELECT count(*) FROM leads") == 200
    assert await count(api, "SELECT count(*) FROM activities") == 200
    assert await count(api, DONE) == 200


async def _counts(api: Api, query: str, number: int) -> bool:
    return await count(api, query) == number


async def test_several_workers_process_one_list_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_TOGETHER", 5)
    lists = await make_lists(api)
    made = await lists.post(people(60) + people(60).split("\n", 1)[1])  # each person twice
    await asyncio.gather(*(process_lists(api) for _ in range(4)))
    await process_lists(api)
    assert (await lists.found(made))["counts"] == {"lead": 120}
    assert await count(api, "SELECT count(*) FROM leads") == 60


async def test_the_lists_of_two_tenants_are_processed_in_turn(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_TOGETHER", 5)
    mine = await make_lists(api)
    long = await mine.post(people(100))
    theirs, their_lists = await other_tenant(api)
    short = await their_lists.post(people(10, "q"))
    turn = Turn()
    for _ in range(4):
        assert await process_batch(api.app.state.engine, api.clock.now, lambda tx: across.claim_listed(tx, turn)) == 1
    assert (await their_lists.found(short))["state"] == "completed"
    assert (await mine.found(long))["rows_done"] == 10
    assert theirs.tenant_id != api.tenant_id


async def test_a_form_fill_does_not_wait_for_a_list_nor_a_list_for_form_fills(api: Api) -> None:
    lists = await make_lists(api)
    await lists.post(people(300))
    sender = Sender(api, lists.source)
    await sender.post(person())
    assert await process_forms(api) == 1
    await sender.post(person())
    assert await process_lists(api) == 300 // store.ROWS_TOGETHER
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'received'") == 1


async def test_a_row_that_the_database_refuses_is_quarantined_alone(api: Api) -> None:
    lists = await make_lists(api)
    async with api.app.state.engine.begin() as tx:
        await tx.command("ALTER TABLE leads ADD CHECK (fields ->> 'email' <> 'p3@nordsoft.example')")
    made = await lists.import_list(people(6))
    assert made["counts"] == {"lead": 5, "quarantined": 1}
    (refused,) = await lists.rows(made, verdict="quarantined")
    assert refused["row"] == 5
    assert "p3@nordsoft.example" in (await lists.errors(made)).decode()
