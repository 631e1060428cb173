"""Decide on a possible duplicate: merge the two leads, or say that they are two people."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app.database.transaction import Record, Tx
from app.errors import DuplicateNotFound, Erased, RequestInvalid, StateConflict
from app.journeys.evaluate import evaluate
from app.journeys.record import actor_document, record_or_refresh
from app.journeys.refusals import problem
from app.journeys.state import Change
from app.leads.absorb import add_updated_event
from app.lifecycle.merging import refused_merger, remaining
from app.merging import sql
from app.merging.merge import check_unmerged, merge_locked
from app.merging.pair import lock_pair, refresh_suspected, standing, wait_for_turn
from app.merging.schemas import VerdictIn
from app.web import versions
from app.web.auth import Caller


async def decide(
    tx: Tx, caller: Caller, duplicate_id: UUID, body: VerdictIn, expected: frozenset[str] | None, now: datetime
) -> UUID:
    """Carries out the verdict on a pair; the id of the lead that remains, or of either of two.

    Raises DuplicateNotFound, VersionConflict, StateConflict for a pair that was merged, LeadMerged or Erased where a
    lead is no more one of its own, RequestInvalid for an `into` that is none of both, and HumanRequired or
    RoleNotAllowed for who may not merge.
    """
    await wait_for_turn(tx, caller)
    row = await _pair(tx, caller, duplicate_id)
    one, other = await lock_pair(tx, caller, (row.one_id, row.other_id), now)
    row = await _pair(tx, caller, duplicate_id)
    versions.check(expected, row.version)
    if row.state == "merged":
        raise StateConflict("The two leads were merged: unmerge them first.")
    if other.lead.erased_at is not None:
        raise Erased()
    for change in (one, other):
        await check_unmerged(tx, caller.tenant_id, change)
    if body.verdict == "not_duplicate":
        await _part(tx, caller, row, (one, other), now)
        return one.lead.id
    return await _merge(tx, caller, (one, other), body.into, now)


async def _pair(tx: Tx, caller: Caller, duplicate_id: UUID) -> Record:
    row = await sql.duplicate(tx, caller.tenant_id, duplicate_id)
    if row is None:
        raise DuplicateNotFound()
    return row


async def _merge(tx: Tx, caller: Caller, pair: tuple[Change, Change], into: UUID | None, now: datetime) -> UUID:
    if (refused := refused_merger(caller.actor)) is not None:
        raise problem(refused.why)
    one, other = pair
    if into not in (None, one.lead.id, other.lead.id):
        raise RequestInvalid.of("into", "not_of_pair", "is not one of the two leads")
    if one.lead.kind != other.lead.kind:
        raise RequestInvalid.of("verdict", "other_kind", "a person and an organization cannot be merged")
    kept = _kept(pair) if into is None else one if into == one.lead.id else other
    await merge_locked(tx, caller, other if kept is one else one, kept, now)
    return kept.lead.id


async def _part(tx: Tx, caller: Caller, row: Record, pair: tuple[Change, Change], now: datetime) -> None:
    """Keeps that the two are not one person; who is like no other lead is not suspected any more."""
    actor = actor_document(caller.actor)
    await sql.decide_pair(tx, caller.tenant_id, (row.one_id, row.other_id), "not_duplicate", actor, now)
    for change, other in (pair, pair[::-1]):
        await refresh_suspected(tx, caller.tenant_id, change, other.lead.id)
        add_updated_event(change)
        evaluate(change)
    await record_or_refresh(tx, caller.tenant_id, pair)


def _kept(pair: tuple[Change, Change]) -> Change:
    """The lead that remains by rule."""
    one, other = pair
    of_one = standing(one)
    return one if remaining(of_one, standing(other)) is of_one else other
