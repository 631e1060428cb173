"""Train models: asked for by people, or by the worker once a day. The rules are in app/scoring/training.py."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from app.database.faults import error_fields, is_away
from app.database.transaction import Database, Record, Records, Tx
from app.database.turn import FIRST
from app.errors import CasesMissing
from app.likelihood import across, sql
from app.policies.published import active_policy
from app.policy.document import Policy
from app.policy.facts import Activity, Facts
from app.policy.likelihood import traits
from app.scoring.score import score
from app.scoring.training import NEEDED, Case, train

log = structlog.get_logger("baton.likelihood")

EVERY: Final = timedelta(hours=24)
PARKED_FOR: Final = timedelta(days=180)  # without having come back: recycled for good
MOST_CASES: Final = 20_000  # the newest
CHUNK: Final = 500
NEWEST: Final = UUID(int=2**128 - 1)


def terms_of(policy: Policy, now: datetime) -> dict[str, Any]:
    """What `sql.FINISHED` has to know of the policy."""
    kinds = {kind: [stage.name for stage in policy.stages if stage.kind == kind] for kind in ("merged", "erased")}
    return {
        "first": policy.milestones[0].name,
        "apart": [*kinds["merged"], *kinds["erased"]],
        "parked": [stage.name for stage in policy.stages if stage.kind == "parked"],
        "parked_before": now - PARKED_FOR,
    }


async def ask_for_model(tx: Tx, tenant_id: UUID, now: datetime) -> Record:
    """Queues a model. Raises CasesMissing while there are too few finished journeys."""
    policy = (await active_policy(tx, tenant_id)).policy
    if missing := missing_cases(await sql.count_cases(tx, tenant_id, terms_of(policy, now))):
        raise CasesMissing(missing=missing)
    return await sql.queue(tx, tenant_id, now)


def missing_cases(counted: Record) -> dict[str, int]:
    """How many journeys of each kind have to end before a model can be trained; empty when there are enough."""
    kinds = {"good": counted.good, "bad": counted.bad}
    return {kind: NEEDED - count for kind, count in kinds.items() if count < NEEDED}


async def train_next(engine: Database, now: datetime) -> int:
    """Trains the model that has waited longest; how many were trained."""
    async with engine.begin() as tx:
        waiting = await across.claim_model(tx)
        if waiting is None:
            return 0
        try:
            cases = await read_cases(tx, waiting.tenant_id, now)
            document = await asyncio.to_thread(train, cases) if _are_enough(cases) else None
        except Exception as error:
            if is_away(error):
                raise
            log.error("model_not_trained", version=waiting.version, **error_fields(error))
            document = None
        sha256 = hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest() if document else None
        await sql.finish(tx, waiting.tenant_id, waiting.version, now, document, sha256)
    return 1


def _are_enough(cases: Sequence[Case]) -> bool:
    good = sum(case.good for case in cases)
    return min(good, len(cases) - good) >= NEEDED


async def queue_due(engine: Database, now: datetime) -> int:
    """Queues a model for each tenant with something new to learn; how many."""
    tenant_id, queued = FIRST, 0
    while True:
        async with engine.begin() as tx:
            following = await across.untrained(tx, tenant_id, now - EVERY)
            if following is None:
                return queued
            tenant_id, policy = following, (await active_policy(tx, following)).policy
            if not missing_cases(await sql.count_cases(tx, tenant_id, terms_of(policy, now))):
                await sql.queue(tx, tenant_id, now)
                queued += 1


async def read_cases(tx: Tx, tenant_id: UUID, now: datetime) -> list[Case]:
    """The newest finished journeys of the tenant, each as it was known at its moment of decision."""
    policy = (await active_policy(tx, tenant_id)).policy
    terms, before = terms_of(policy, now), NEWEST
    found: list[Case] = []
    while len(found) < MOST_CASES and (rows := await sql.cases(tx, tenant_id, terms, before, CHUNK)):
        found += await asyncio.to_thread(_cases, policy, rows)
        before = rows[-1].id
    return found


def _cases(policy: Policy, rows: Records) -> list[Case]:
    return [_case(policy, row) for row in rows]


def _case(policy: Policy, row: Record) -> Case:
    facts = _facts_then(row)
    then = score(policy, facts, row.moment)
    return Case(row.id, row.moment, traits(facts, row.moment), row.good, then.fit + then.engagement)


def _facts_then(row: Record) -> Facts:
    fields, flags = dict(row.fields), dict(row.flags)
    for replaced in row.undone or ():  # the latest change first, so that the oldest value of each field wins
        fields, flags = fields | replaced.get("fields", {}), flags | replaced.get("flags", {})
    activities = tuple(
        Activity(UUID(one[0]), one[1], one[2], datetime.fromisoformat(one[3]), datetime.fromisoformat(one[4]))
        for one in row.activities or ()
    )
    return Facts(
        fields={**_known(fields), **_known(flags), "kind": row.kind, "channel": row.channel},
        custom=row.custom,
        first_touch=row.first_touch,
        contactable=bool(fields.get("email") or fields.get("phone")),
        activities=activities,
    )


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
