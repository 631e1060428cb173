"""Tenants are served in turn: what waits for one of them does not hold up another (docs/decisions/0034)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import TextClause, text

from app import ids
from app.database.transaction import Records, Tx
from app.database.turn import Turn
from app.journeys import across as journeys_across
from app.journeys.refresh import BATCH, refresh_due
from app.submissions import across
from app.submissions.accept import Committer
from app.submissions.process import process_batch
from app.submissions.received import Received
from tests.api import Api
from tests.database.test_generic_plans import generic_plan
from tests.plans import nodes
from tests.submissions.sender import Sender, count, person


class Tenant:
    """A tenant with a source, and the submissions that it has sent."""

    def __init__(self, api: Api, tenant_id: UUID, key: str, sender: Sender) -> None:
        self.api, self.id, self.key, self.sender = api, tenant_id, key, sender

    async def waits(self, number: int, *, bytes_each: int = 0) -> None:
        """Stores submissions that wait for processing, through the committer of the ingest endpoint."""
        committer = Committer(self.api.app.state.engine)
        await asyncio.gather(*(committer.accept(self._received(bytes_each)) for _ in range(number)))

    def _received(self, size: int) -> Received:
        body = json.dumps(person(message="x" * size)).encode()
        headers, source_id = '{"content-type": "application/json"}', ids.read("source", self.sender.source["id"])
        return Received(self.id, ids.new_id(), source_id, "POST", "", headers, body, "", self.api.now)

    async def processed(self) -> int:
        question = "SELECT count(*) FROM submissions WHERE tenant_id = :tenant_id AND state = 'processed'"
        return await count(self.api, question, tenant_id=self.id)


async def tenant(api: Api, name: str) -> Tenant:
    made = await api.post("/v1/tenants", {"name": name, "policy": "waterfall"})
    key = made["key"]["secret"]
    source = await api.post("/v1/sources", {"name": name, "preset": "generic"}, key=key)
    return Tenant(api, ids.read("tenant", made["tenant"]["id"]), key, Sender(api, source))


async def batch(api: Api, turn: Turn) -> int:
    async def claim(tx: Tx) -> Records:
        return await across.claim(tx, turn)

    return await process_batch(api.app.state.engine, api.clock.now, claim)


@pytest.mark.parametrize("later", [True, False], ids=["its id is higher", "its id is lower"])
async def test_one_submission_is_in_the_next_batch_whatever_waits_for_another_tenant(api: Api, later: bool) -> None:
    many, one = [await tenant(api, name) for name in "ab"][:: 1 if later else -1]
    await many.waits(3_000)
    assert (await one.sender.post(person())).status_code == 202
    assert await batch(api, Turn()) == 100, "the rest of the batch is the other tenant's"
    assert (await one.processed(), await many.processed()) == (1, 99)
    assert await batch(api, Turn()) == 100
    assert await many.processed() == 199, "a tenant that is alone has the whole batch"


async def test_tenants_share_a_batch_equally_and_one_that_needs_less_leaves_the_rest_to_the_others(api: Api) -> None:
    waiting = (500, 10, 500, 30)
    tenants = [await tenant(api, f"t{number}") for number in waiting]
    for one, number in zip(tenants, waiting, strict=True):
        await one.waits(number)
    assert await batch(api, Turn()) == 100
    assert [await one.processed() for one in tenants] == [30, 10, 30, 30]


async def test_two_backlogs_drain_in_turn_and_each_oldest_first(api: Api) -> None:
    first, second = await tenant(api, "a"), await tenant(api, "b")
    turn = Turn()
    for _ in range(3):
        await first.waits(100)
        await second.waits(100)
    for done in (50, 100, 150):
        assert await batch(api, turn) == 100
        assert await first.processed() == await second.processed() == done
    overtaken = (
        "SELECT count(*) FROM submissions w JOIN submissions p USING (tenant_id) WHERE w.state = 'received'"
        " AND p.state = 'processed' AND (p.received_at, p.id) > (w.received_at, w.id)"
    )
    assert await count(api, overtaken) == 0


async def test_more_tenants_than_a_batch_holds_are_served_one_after_another(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across, "BATCH", 3)
    tenants = [await tenant(api, f"t{number}") for number in range(7)]
    for one in tenants:
        await one.waits(4)
    turn = Turn()
    for served in range(1, 10):
        assert await batch(api, turn) == 3
        done = [await one.processed() for one in tenants]
        assert max(done) - min(done) <= 1, done
        assert sum(done) == 3 * served


async def test_large_submissions_of_one_tenant_do_not_keep_another_out_of_the_batch(api: Api) -> None:
    tenants = [await tenant(api, f"t{number}") for number in range(4)]
    for one in tenants[:3]:
        await one.waits(3, bytes_each=900_000)
    await tenants[3].waits(3)
    turn, served = Turn(), []
    while await batch(api, turn):
        served.append([await one.processed() for one in tenants])
    assert served == [[1, 1, 1, 0], [2, 2, 2, 1], [3, 3, 3, 2], [3, 3, 3, 3]], "two MiB a batch"


async def test_what_rests_until_a_later_try_takes_no_share(api: Api) -> None:
    resting, ready = await tenant(api, "a"), await tenant(api, "b")
    await resting.waits(150)
    async with api.app.state.engine.begin() as tx:
        later = {"later": api.now + timedelta(hours=1)}
        await tx.execute(text("UPDATE submissions SET retry_at = CAST(:later AS timestamptz)"), later)
    await ready.waits(120)

    async def claim(tx: Tx) -> Records:
        return await across.claim(tx, Turn(), api.now)

    assert await process_batch(api.app.state.engine, api.clock.now, claim) == 100
    assert (await resting.processed(), await ready.processed()) == (0, 100)


async def test_two_workers_share_what_waits_and_neither_waits_for_the_other(api: Api) -> None:
    first, second = await tenant(api, "a"), await tenant(api, "b")
    await first.waits(150)
    await second.waits(1)
    async with api.app.state.engine.begin() as one, api.app.state.engine.begin() as other:
        mine, theirs = await across.claim(one), await across.claim(other)
    assert Counter(row.tenant_id for row in mine) == {first.id: 99, second.id: 1}
    assert {row.tenant_id for row in theirs} == {first.id}
    assert not {row.id for row in mine} & {row.id for row in theirs}
    assert len(mine) + len(theirs) >= 150


async def make_due(api: Api, number: int, key: str) -> None:
    """Leads whose evaluation is due now."""
    for start in range(0, number, 50):
        bodies = ({"fields": {"email": f"p{start + n}@nordsoft.example"}} for n in range(min(50, number - start)))
        answers = await asyncio.gather(*(api.call("POST", "/v1/leads", body, key=key) for body in bodies))
        assert {answer.status_code for answer in answers} == {201}


async def due(api: Api, tenant_id: UUID) -> int:
    question = "SELECT count(*) FROM leads WHERE tenant_id = :tenant_id AND evaluate_at <= :now"
    return await count(api, question, tenant_id=tenant_id, now=api.now)


@pytest.mark.parametrize("later", [True, False], ids=["its id is higher", "its id is lower"])
async def test_one_due_lead_is_in_the_next_batch_whatever_is_due_for_another_tenant(api: Api, later: bool) -> None:
    many, one = [await tenant(api, name) for name in "ab"][:: 1 if later else -1]
    await make_due(api, 250, many.key)
    await make_due(api, 1, one.key)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET evaluate_at = CAST(:now AS timestamptz)"), {"now": api.now})
    turn = Turn()
    assert await refresh_due(api.app.state.engine, api.clock.now, turn) == BATCH
    assert (await due(api, many.id), await due(api, one.id)) == (251 - BATCH, 0)
    batches = [await refresh_due(api.app.state.engine, api.clock.now, turn) for _ in range(251 // BATCH + 1)]
    assert (sum(batches), batches[-1]) == (251 - BATCH, 0)


async def test_more_tenants_with_due_leads_than_a_batch_holds_are_served_one_after_another(api: Api) -> None:
    tenants = [await tenant(api, f"t{number}") for number in range(5)]
    for one in tenants:
        await make_due(api, 4, one.key)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET evaluate_at = CAST(:now AS timestamptz)"), {"now": api.now})
    turn, claimed = Turn(), Counter[UUID]()
    for _ in range(10):
        async with api.app.state.engine.begin() as tx:
            rows = await journeys_across.claim_due(tx, turn, api.now, 2)
            for row in rows:
                claimed[row.tenant_id] += 1
                await journeys_across.postpone(tx, row, api.now, api.now + timedelta(days=1))
        assert rows == sorted(rows, key=lambda row: (row.tenant_id, row.id))
        assert max(claimed.values()) - min(claimed[one.id] for one in tenants) <= 1
    assert set(claimed.values()) == {4}


SUBMISSIONS = """
    INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, received_at, state)
    SELECT md5((n % 500 = 0)::text)::uuid, gen_random_uuid(), gen_random_uuid(), 'POST', '', '{}', 'x', '',
           now() - make_interval(secs => n),
           CASE WHEN n > 6000 THEN 'processed' WHEN n > 3000 THEN 'listed' ELSE 'received' END
      FROM generate_series(1, 40000) n
"""
LEADS = """
    INSERT INTO leads (tenant_id, id, evaluate_at, created_at, updated_at)
    SELECT md5((n % 500 = 0)::text)::uuid, gen_random_uuid(), now() + make_interval(mins => n - 3000), now(), now()
      FROM generate_series(1, 40000) n
"""


async def fill(tx: Tx) -> None:
    """Two tenants, one of whom has nearly everything, and statistics that know it."""
    await tx.command("SET LOCAL session_replication_role = replica")  # without the rows that foreign keys ask for
    for statement in (SUBMISSIONS, LEADS, "ANALYZE submissions", "ANALYZE leads"):
        await tx.command(statement)


@pytest.mark.own_database
@pytest.mark.parametrize(
    ("claim", "index"),
    [
        (across.CLAIM, "submissions_waiting_idx"),
        (across.CLAIM_LISTED, "submissions_listed_idx"),
        (journeys_across.CLAIM_DUE, "leads_due_idx"),
    ],
    ids=["submissions", "rows of lists", "leads"],
)
async def test_the_generic_plan_of_a_claim_reads_the_index_by_tenant_alone(
    api: Api, claim: TextClause, index: str
) -> None:
    async with api.app.state.engine.begin() as tx:
        await fill(tx)
        plan = await generic_plan(tx.driver, claim)
    scans = [node for node in nodes(plan) if node.get("Relation Name") == index.split("_")[0]]
    indexes = Counter(scan.get("Index Name") for scan in scans)
    assert indexes.pop("leads_evaluate_at_idx", 0) <= 1, "the first that is due of all"
    assert set(indexes) == {index}
