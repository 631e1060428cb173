"""Which errors are failures of the database: 503 from every endpoint, and no submission is quarantined for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import ids
from app.database.storage import Storage
from app.database.transaction import Database, Records, Tx
from app.database.turn import Turn
from app.errors import DatabaseUnavailable
from app.journeys.refresh import refresh_due
from app.submissions import across, process
from tests.api import Api
from tests.submissions.sender import count, make_sender, person
from tests.waiting import until

AWAY = (
    *("08000", "08006", "28000", "28P01", "3D000", "53000", "53100", "53200", "53300", "53400"),
    *("57000", "57P01", "57P02", "57P03", "57P04", "58000", "58030", "58P01", "25006"),
)
TROUBLED = ("XX000", "XX001", "XX002", "42501")
CONTENDED = ("40001", "40P01", "55P03", "57014", "25P03", "25P04")
OF_DATA = ("21000", "22003", "22P05", "23514", "23505", "44000", "54000")
OTHER = ("42P01", "42703", "0A000", "P0001")


async def fail_with(api: Api, table: str, state: str) -> None:
    """From now on each INSERT into the table fails with this SQLSTATE; an empty one lets it pass."""
    raised = f"RAISE EXCEPTION USING ERRCODE = ''{state}'';" if state else ""
    function = f"CREATE OR REPLACE FUNCTION fail_{table}() RETURNS trigger LANGUAGE plpgsql AS"
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text(f"{function} 'BEGIN {raised} RETURN NEW; END'"))
        await tx.execute(
            text(
                f"CREATE OR REPLACE TRIGGER fails BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail_{table}()"
            )
        )


@pytest.mark.parametrize("states", [AWAY, TROUBLED, CONTENDED], ids=["away", "troubled", "contended"])
async def test_trouble_of_the_database_is_503_with_retry_after_at_every_entrance(
    api: Api, states: tuple[str, ...]
) -> None:
    sender, lead = await make_sender(api), await api.lead()
    for state in states:
        for table in ("submissions", "leads", "accounts", "activities"):
            await fail_with(api, table, state)
        answers = [
            await sender.post(person()),
            await api.call("POST", "/v1/leads", {"fields": {"email": f"p{state}@acme.example"}}),
            await api.call("POST", "/v1/accounts", {"name": "Nordsoft"}),
            await api.call("POST", f"/v1/leads/{lead['id']}/activities", {"type": "webinar"}),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), (state, answer.text)
            assert answer.headers["Retry-After"] == "1"
        codes = (await api.client.get("/readyz")).json()["codes"]
        assert codes == (["storage_full"] if state == "53100" else []), state
        api.app.state.engine.storage = Storage()
    assert await count(api, "SELECT count(*) FROM submissions") == 0


async def test_a_submission_is_quarantined_by_its_own_fault_only_and_waits_for_the_database_otherwise(api: Api) -> None:
    engine, sender = api.app.state.engine, await make_sender(api)
    for state in (*AWAY, *TROUBLED, *CONTENDED, *OTHER, *OF_DATA):
        own = state in OF_DATA
        await fail_with(api, "leads", state)
        made = (await sender.post(person())).json()["submission"]["id"]
        submission_id = ids.read("submission", made)
        refused = pytest.raises(DatabaseUnavailable) if state in AWAY else nullcontext()
        with refused:
            assert await process.process_one(engine, api.tenant_id, submission_id, api.clock.now) is own, state
        assert (await sender.submission(made))["state"] == ("quarantined" if own else "received"), state
        tries = await count(api, "SELECT tries FROM submissions WHERE id = :id", id=submission_id)
        assert tries == (0 if own or state in AWAY else 1), state
        await fail_with(api, "leads", "")
        assert await process.process_batch(engine, api.clock.now) == (0 if own else 1), state
        assert (await sender.submission(made))["state"] == ("quarantined" if own else "processed"), state


async def test_a_submission_that_the_database_aborted_waits_longer_after_each_try_and_others_do_not(api: Api) -> None:
    engine, sender = api.app.state.engine, await make_sender(api)
    await fail_with(api, "leads", "42501")
    aborted = (await sender.post(person())).json()["submission"]["id"]

    async def process_rested(now: datetime) -> int:
        return await process.process_batch(engine, lambda: now, partial(across.claim, rested_at=now))

    now = api.now
    for tries, seconds in enumerate((10, 60, 360, 2160, 3600, 3600, 3600), start=1):
        await process_rested(now)
        assert await count(api, "SELECT tries FROM submissions") == tries
        await process_rested(now + timedelta(seconds=seconds - 1))
        assert await count(api, "SELECT tries FROM submissions") == tries
        now += timedelta(seconds=seconds)
    assert (await sender.submission(aborted))["state"] == "received", "rights are no fault of the submission"
    await fail_with(api, "leads", "")
    await sender.post(person())
    earlier = now - timedelta(hours=1)
    assert await process_rested(earlier) == 1
    await api.call("POST", f"/v1/submissions/{aborted}/replay")
    assert await process_rested(earlier) == 1


async def test_the_worker_leaves_a_submission_alone_that_is_to_be_tried_later(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "POLL_SECONDS", 0.001)
    sender, stop = await make_sender(api), asyncio.Event()
    await fail_with(api, "leads", "55P03")
    await sender.post(person())
    looked = 0
    claim = across.claim

    async def counted(tx: Tx, turn: Turn | None = None, rested_at: datetime | None = None) -> Records:
        nonlocal looked
        looked += 1
        return await claim(tx, turn, rested_at)

    monkeypatch.setattr(across, "claim", counted)
    work = asyncio.create_task(process.process_forever(api.app.state, stop))
    await until(lambda: looked >= 30, "the worker looked thirty times")
    stop.set()
    await work
    assert await count(api, "SELECT tries FROM submissions") == 1


class Raced:
    """An engine whose third transaction, the one that postpones a lead, begins after another worker has locked it."""

    def __init__(self, engine: Database, lead: str) -> None:
        self.engine, self.lead, self.begun = engine, lead, 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        self.begun += 1
        if self.begun != 3:
            async with self.engine.begin() as tx:
                yield tx
            return
        async with self.engine.begin() as other:
            await other.command(f"SELECT 1 FROM leads WHERE id = '{ids.read('lead', self.lead)}' FOR UPDATE")
            async with self.engine.begin() as tx:
                await tx.command("SET LOCAL lock_timeout = '50ms'")
                yield tx


async def test_the_lead_that_failed_is_postponed_and_no_other_when_another_worker_has_it_by_then(api: Api) -> None:
    engine = api.app.state.engine
    stuck, fine = await api.lead(), await api.lead()
    for lead in (stuck, fine):
        await api.add_activity(lead, "webinar")
    async with engine.begin() as tx:
        await tx.command(
            "ALTER TABLE leads ADD CHECK (engagement = 10 OR fields ->> 'email' <> "
            f"'{stuck['fields']['email']}') NOT VALID"
        )
    api.clock.ahead += timedelta(days=31)
    due = "SELECT count(*) FROM leads WHERE evaluate_at <= :now"
    with pytest.raises(DBAPIError, match="lock timeout"):
        await refresh_due(Raced(engine, stuck["id"]), api.clock.now)  # type: ignore[arg-type]
    assert await count(api, due, now=api.now) == 2, "neither was evaluated, and the second was not postponed"
    assert await refresh_due(engine, api.clock.now) == 2
    assert await count(api, due, now=api.now) == 0
