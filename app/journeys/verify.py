"""`baton verify`: fold the transitions of every journey, compare with the stored state (lifecycle.md, section 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app import ids
from app.database.transaction import Database, Record, Tx
from app.journeys import across
from app.lifecycle.milestones import Step, fold_log
from app.policies.published import published_policy

BATCH: Final = 500
FIRST: Final = (UUID(int=0), UUID(int=0))


@dataclass(frozen=True, slots=True)
class JourneyCheck:
    """One journey and its faults as messages; none if the stored state follows from its transitions."""

    lead_id: str
    journey_id: str
    faults: tuple[str, ...]


async def verify(engine: Database) -> AsyncIterator[JourneyCheck]:
    """Checks every journey of every tenant, in batches; reads only."""
    after = FIRST
    while True:
        async with engine.connect() as tx:
            journeys = await across.next_journeys(tx, after, BATCH)
            if not journeys:
                return
            logs = defaultdict(list)
            for row in await across.logs_of(tx, journeys):
                logs[row.journey_id].append(row)
            proofs = defaultdict(set)
            for row in await across.opportunity_transitions_of(tx, journeys):
                proofs[row.journey_id].add(ids.show("transition", row.id))
            checked = [await _check(tx, journey, logs[journey.id], proofs[journey.id]) for journey in journeys]
        for one in checked:
            yield one
        after = (journeys[-1].tenant_id, journeys[-1].id)


async def _check(tx: Tx, journey: Record, log: Sequence[Record], proofs: AbstractSet[str]) -> JourneyCheck:
    steps = [
        Step(
            (await published_policy(tx, row.tenant_id, row.policy_id)).policy,
            row.seq,
            row.from_stage,
            row.to_stage,
            row.action,
            row.opportunity_class,
        )
        for row in log
    ]
    folded = fold_log(steps)
    faults = list(folded.faults)
    if (folded.stage, folded.seq) != (journey.stage, journey.seq):
        faults.append(
            f"stored: {journey.stage} at seq {journey.seq}; by its transitions: {folded.stage} at seq {folded.seq}"
        )
    if journey.merged_into is not None:
        faults.append(f"its lead was merged into {ids.show('lead', journey.merged_into)}, which should have it")
    if journey.has_lost_clocks:
        faults.append("a run of one of its clocks belongs to another lead")
    if journey.id == journey.present_id and journey.lead_stage != folded.stage:
        faults.append(f"stored stage of the lead: {journey.lead_stage}; by its transitions: {folded.stage}")
    # Milestones that the opportunity reached later (won, lost) have one of its own transitions as proof.
    milestones = ((*proof.split(" ", 1), skipped) for proof, skipped in (journey.milestones or {}).items())
    stored = {name: skipped for proof, name, skipped in milestones if proof not in proofs}
    if stored != folded.milestones:
        faults.append(f"stored milestones: {stored}; by its transitions: {folded.milestones}")
    return JourneyCheck(ids.show("lead", journey.lead_id), ids.show("journey", journey.id), tuple(faults))
