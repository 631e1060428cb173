"""Runs back-tests: a batch of leads in one transaction, so that after a crash the next worker goes on where it was.

The locked row of the job is the claim. A shadow run is a back-test that goes on: once all leads are done it follows the
event log, and looks at journeys again when time alone may have changed the answer. Both only read leads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from app import ids
from app.backtests import across, sql
from app.backtests.history import Around, pasts_of
from app.database.faults import error_fields, is_away, is_contended
from app.database.transaction import Database, Record, Records, Tx
from app.database.turn import FIRST
from app.lifecycle.replay import Outcome, Past, Replay
from app.policies.published import reads_model
from app.policy.document import Policy

LEADS: Final = 100
EVENTS: Final = 1_000
LONG: Final = 100  # activities of a lead that takes so long that requests are answered meanwhile
ALL_SEEN: Final = UUID(int=2**128 - 1)
UNDECIDED: Final = Outcome()

log = structlog.get_logger("baton.backtests")


@dataclass(frozen=True, slots=True)
class Job:
    """A back-test or shadow run, its two policies, and until when history is replayed."""

    row: Record
    baseline: Replay
    candidate: Replay
    until: datetime

    @classmethod
    def of(cls, row: Record, now: datetime) -> Job:
        baseline, candidate = (_replay(orjson.dumps(row.documents[side])) for side in ("baseline", "candidate"))
        return cls(row, baseline, candidate, row.to_at or now)

    @property
    def is_shadow(self) -> bool:
        return bool(self.row.kind == "shadow")

    @property
    def window(self) -> tuple[datetime, datetime]:
        return self.row.from_at, self.until


@lru_cache(maxsize=32)
def _replay(document: bytes) -> Replay:
    return Replay(Policy.model_validate_json(document))


async def run_backtests(engine: Database, now: datetime) -> int:
    """Runs one batch of each job that has something to do; how many leads and events were looked at."""
    async with engine.connect() as tx:
        jobs = await across.with_work(tx, ALL_SEEN, now)
    return sum([await _run_one(engine, job, now) for job in jobs])


async def _run_one(engine: Database, job: Record, now: datetime) -> int:
    try:
        async with engine.begin() as tx:
            row = await across.claim(tx, job)
            return 0 if row is None else await _batch(tx, Job.of(row, now), now)
    except Exception as error:
        if is_away(error):
            raise
        if is_contended(error):
            log.warning("backtest_waits", backtest_id=ids.show("backtest", job.id), **error_fields(error))
            return 0  # tried again with the next batch of the others
        log.error("backtest_failed", backtest_id=ids.show("backtest", job.id), **error_fields(error))
    async with engine.begin() as tx:
        await sql.finish(tx, job.tenant_id, job.id, "failed", now, fault="internal_error")
    return 1


async def _batch(tx: Tx, job: Job, now: datetime) -> int:
    """The next leads in the order of their ids; of a shadow run that has seen all of them, what came since."""
    row = job.row
    if row.last_lead_id == ALL_SEEN:
        return await _follow(tx, job, now)
    leads = row.leads if row.last_lead_id else await sql.count_leads(tx, row.tenant_id, job.until)
    rows = await sql.next_leads(tx, row.tenant_id, row.last_lead_id or FIRST, job.window, LEADS)
    await _store(tx, job, rows)
    done = row.leads_done + len(rows)
    last = rows[-1].id if len(rows) == LEADS else ALL_SEEN
    progress = {"leads": max(leads, done), "leads_done": done, "last_lead_id": last}
    await sql.save_progress(tx, row.tenant_id, row.id, now, **progress, log_position=row.log_position)
    if last == ALL_SEEN and not job.is_shadow:
        await sql.finish(tx, row.tenant_id, row.id, "done", now)
    return max(len(rows), 1)


async def _follow(tx: Tx, job: Job, now: datetime) -> int:
    row = job.row
    events = await sql.changed_leads(tx, row.tenant_id, row.log_position, EVENTS)
    due = await sql.due_leads(tx, row.tenant_id, row.id, now, LEADS)
    lead_ids = list({one.lead_id for one in events if one.lead_id is not None} | set(due))
    await _store(tx, job, await sql.named_leads(tx, row.tenant_id, lead_ids, job.window))
    position = events[-1].position if events else row.log_position
    progress = {"leads": row.leads, "leads_done": row.leads_done, "last_lead_id": row.last_lead_id}
    await sql.save_progress(tx, row.tenant_id, row.id, now, **progress, log_position=position)
    return len(events) + len(due)


async def _store(tx: Tx, job: Job, rows: Records) -> None:
    """Replays the journeys of these leads, and keeps those of which there is something to tell."""
    tenant_id, at_stake = job.row.tenant_id, [row for row in rows if row.journeys]
    kept: list[Mapping[str, Any]] = []
    if at_stake:
        around = await _around(tx, job, [row.id for row in at_stake])
        for row in at_stake:
            if len(row.ids or ()) > LONG:
                kept += await asyncio.to_thread(_outcomes, job, row, around)
            else:
                kept += _outcomes(job, row, around)
                await asyncio.sleep(0)  # requests of the same process are answered between two leads
    if kept or (job.is_shadow and rows):
        await sql.store(tx, tenant_id, job.row.id, [row.id for row in rows], kept)


async def _around(tx: Tx, job: Job, lead_ids: list[UUID]) -> Around:
    tenant_id = job.row.tenant_id
    read = any(reads_model(one.policy) for one in (job.baseline, job.candidate))
    models = await sql.models(tx, tenant_id, job.until) if read else ()
    merges = await sql.merges(tx, tenant_id, lead_ids)
    return Around.of(await sql.closed_stages(tx, tenant_id), models, merges)


def _outcomes(job: Job, row: Record, around: Around) -> list[Mapping[str, Any]]:
    found = (_outcome(job, row, past) for past in pasts_of(row, around))
    return [one for one in found if one is not None]


def _outcome(job: Job, row: Record, past: Past) -> Mapping[str, Any] | None:
    """What came of the journey under both policies and in fact; None where there is nothing to tell, or not then."""
    since, until = job.window
    if not any(start <= until and (end is None or end >= since) for start, end in past.open):
        return None
    baseline, candidate = job.baseline.of(past, until), job.candidate.of(past, until)
    policy = job.baseline.policy
    actual = {name: at for journey_id, name, at in row.milestones or () if UUID(journey_id) == past.id}
    reached = {one.of_class for one in policy.milestones if one.name in actual}
    later = {one.name for one in policy.milestones[1:] if one.of_class != "lost"}
    found = {
        "journey_id": past.id,
        "lead_id": row.id,
        "baseline_at": baseline.reached_at,
        "baseline_known_at": baseline.decided_at,
        "candidate_at": candidate.reached_at,
        "candidate_known_at": candidate.decided_at,
        "actual_at": actual.get(policy.milestones[0].name),
        "accepted": bool(later & actual.keys()),
        "sql": "qualified" in reached,
        "won": "won" in reached,
        "due_at": min(filter(None, (baseline.due_at, candidate.due_at)), default=None) if job.is_shadow else None,
    }
    told = ("baseline_at", "candidate_at", "sql", "won", "due_at")
    return found if any(found[name] for name in told) else None
