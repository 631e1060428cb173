"""Load leads, and begin changes of locked ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Generic, TypeVar
from uuid import UUID

from app.database.transaction import ChangedMeanwhile, Record, Tx
from app.errors import Erased, LeadMerged, LeadNotFound
from app.ids import show
from app.journeys import sql
from app.journeys.adopt import adopt
from app.journeys.evaluate import catch_up
from app.journeys.give_way import give_way
from app.journeys.shown import kept_members
from app.journeys.state import Change, Journey, Lapsed, Lead, Offer, Owner
from app.lifecycle.clocks import Run
from app.matching.person import Identity
from app.policies.published import Published, published_policy
from app.policy.facts import POLICY, Activity, Actor, Confirmation
from app.web import versions
from app.web.auth import Caller
from app.web.gather import Member

B = TypeVar("B")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class OfLead(Generic[B]):
    """What a request wants of one lead. `expected`: the entity tags of If-Match; `has_key`: an Idempotency-Key came."""

    lead_id: UUID
    body: B
    expected: frozenset[str] | None = None
    has_key: bool = False


async def read_lead(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> Change:
    """Reads a lead with its policies, without a lock; in place of a merged lead the one that it was merged into.

    Raises LeadNotFound, or Erased for a lead that was erased.
    """
    change = await read_unmerged(tx, tenant_id, lead_id, now)
    if change.lead.merged_into is None:
        return change
    return await read_unmerged(tx, tenant_id, await sql.survivor_of(tx, tenant_id, lead_id), now)


async def read_unmerged(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> Change:
    """Reads the lead with this id, also where it was merged into another. Problems as of `read_lead`."""
    rows = await sql.load_leads(tx, tenant_id, [lead_id])
    if not rows:
        raise LeadNotFound()
    if rows[0].erased_at is not None:
        raise Erased()
    return await _change(tx, tenant_id, rows[0], now, POLICY, None)


async def begin_change(
    tx: Tx,
    tenant_id: UUID,
    lead_id: UUID,
    now: datetime,
    *,
    actor: Actor,
    on_behalf_of: Mapping[str, Any] | None = None,
    expected: frozenset[str] | None = None,
) -> Change:
    """Locks one lead and begins a change.

    Raises LeadNotFound, Erased or LeadMerged for a lead that cannot change, and VersionConflict, once locked, for
    another version than the expected one.
    """
    rows = await sql.lock_leads(tx, tenant_id, [lead_id])
    row = await _changeable(tx, tenant_id, rows[0] if rows else None, expected)
    return await _locked(tx, tenant_id, row, now, actor, on_behalf_of)


async def begin_two(
    tx: Tx, tenant_id: UUID, lead_ids: tuple[UUID, UUID], now: datetime, caller: Caller
) -> tuple[Change | None, Change | None]:
    """Locks two leads in ascending id, merged and erased ones too, to merge or unmerge them; None for an unknown one.

    What time alone has made due is left to the evaluation of the leads that result.
    """
    rows = {row.id: row for row in await sql.lock_leads(tx, tenant_id, lead_ids)}
    changes: dict[UUID, Change] = {}
    for lead_id, row in rows.items():
        changes[lead_id] = await _change(tx, tenant_id, row, now, caller.actor, caller.on_behalf_of)
        changes[lead_id].loaded = kept_members(changes[lead_id].lead)
    return changes.get(lead_ids[0]), changes.get(lead_ids[1])


async def reload(tx: Tx, tenant_id: UUID, change: Change) -> None:
    """Reads the lead of a locked change again, after statements that moved rows from or to it."""
    (row,) = await sql.load_leads(tx, tenant_id, [change.lead.id])
    again = await _change(tx, tenant_id, row, change.now, change.actor, change.on_behalf_of)
    change.lead, change.pinned, change.former = again.lead, again.pinned, again.former


async def begin_change_of_survivor(
    tx: Tx,
    tenant_id: UUID,
    lead_id: UUID,
    now: datetime,
    *,
    actor: Actor,
    on_behalf_of: Mapping[str, Any] | None = None,
) -> Change:
    """Begins a change of the lead, or of the one that it was merged into. Raises Erased."""
    survivor_id = await sql.survivor_of(tx, tenant_id, lead_id)
    try:
        return await begin_change(tx, tenant_id, survivor_id, now, actor=actor, on_behalf_of=on_behalf_of)
    except LeadMerged:
        raise ChangedMeanwhile("the lead was merged before it was locked") from None


async def begin_each(
    tx: Tx, tenant_id: UUID, members: Sequence[Member[OfLead[B], R]], now: datetime
) -> list[tuple[Member[OfLead[B], R], Change]]:
    """Locks the leads of a batch in ascending id, and begins the change of each request that is not refused.

    Problems as of `begin_change`. Of two requests about one lead the second is for a later batch.
    """
    rows = {row.id: row for row in await sql.lock_leads(tx, tenant_id, list({one.wanted.lead_id for one in members}))}
    begun: dict[UUID, tuple[Member[OfLead[B], R], Change]] = {}
    for one in members:
        lead_id, caller = one.wanted.lead_id, one.caller
        if lead_id in begun:
            one.later = True
            continue
        with one.attempt():
            row = await _changeable(tx, tenant_id, rows.get(lead_id), one.wanted.expected)
            begun[lead_id] = one, await _locked(tx, tenant_id, row, now, caller.actor, caller.on_behalf_of)
    return list(begun.values())


async def _changeable(tx: Tx, tenant_id: UUID, row: Record | None, expected: frozenset[str] | None) -> Record:
    if row is None:
        raise LeadNotFound()
    if row.erased_at is not None:
        raise Erased()
    if row.merged_into is not None:
        raise LeadMerged(merged_into=show("lead", await sql.survivor_of(tx, tenant_id, row.id)))
    versions.check(expected, row.version)
    return row


async def begin_changes(
    tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], now: datetime, actor: Actor
) -> dict[UUID, Change]:
    """Locks leads in ascending id and begins their changes; unknown, merged and erased leads are left out."""
    if not lead_ids:
        return {}
    rows = await sql.lock_leads(tx, tenant_id, lead_ids)
    usable = [row for row in rows if row.merged_into is None and row.erased_at is None]
    changes: dict[UUID, Change] = {}
    for row in usable:
        changes[row.id] = await _locked(tx, tenant_id, row, now, actor, None)
        await give_way()
    return changes


async def _locked(
    tx: Tx, tenant_id: UUID, row: Record, now: datetime, actor: Actor, on_behalf_of: Mapping[str, Any] | None
) -> Change:
    change = await _change(tx, tenant_id, row, now, actor, on_behalf_of)
    change.loaded = kept_members(change.lead)
    adopt(change)
    catch_up(change)
    return change


async def _change(
    tx: Tx, tenant_id: UUID, row: Record, now: datetime, actor: Actor, on_behalf_of: Mapping[str, Any] | None
) -> Change:
    active = await published_policy(tx, tenant_id, row.active_policy_id)
    pinned = await published_policy(tx, tenant_id, row.policy_id) if row.policy_id is not None else None
    former = await former_policy(tx, tenant_id, row)
    return Change(lead_of(row), active, pinned, now, actor, on_behalf_of, evaluate_at=row.evaluate_at, former=former)


async def former_policy(tx: Tx, tenant_id: UUID, row: Record) -> Published | None:
    """The policy of the journey's last transition, for a journey that is not pinned; None if that is the active one."""
    if row.policy_id is not None or row.last_policy_id in (None, row.active_policy_id):
        return None
    return await published_policy(tx, tenant_id, row.last_policy_id)


def lead_of(record: Record) -> Lead:
    """The lead of one row of `load_leads`."""
    row = SimpleNamespace(**record)  # whose attributes are read at a tenth of the cost of a record's
    return Lead(
        id=row.id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
        kind=row.kind,
        fields=row.fields,
        raw=row.raw,
        custom=row.custom,
        flags=row.flags,
        consents=row.consents,
        first_touch=row.first_touch,
        last_touch=row.last_touch,
        channel=row.channel,
        source_id=row.source_id,
        owner=None if row.owner_id is None else Owner(row.owner_id, row.owner_role, row.owner_team, row.owner_active),
        team=row.team,
        below_threshold_since=row.below_threshold_since,
        # Only from its first milestone on is a journey pinned to a policy.
        threshold_met=row.threshold_met and row.policy_id is not None,
        account_id=row.account_id,
        contact_id=row.contact_id,
        opportunity_id=row.opportunity_id,
        merged_into=row.merged_into,
        erased_at=row.erased_at,
        has_merged=row.has_merged,
        identities=_identities(row),
        activities=_activities(row),
        activity_keys=set(row.activity_keys or ()),
        confirmations=_confirmations(row),
        journey=_journey(row),
        held_stage=row.held_stage,
        last_occurred_at=row.last_occurred_at,
        last_recorded_at=row.last_recorded_at,
        milestones=set(row.milestones or ()),
        opportunity_class=row.opportunity_class,
        clocks=_clocks(row),
    )


def _identities(row: SimpleNamespace) -> list[Identity]:
    own = [Identity(*each) for each in _rows(row.kinds, row.namespaces, row.values, row.primaries)]
    shared = _rows(row.shared_kinds, row.shared_values, row.shared_primaries)
    return own + [Identity(kind, "", value, primary, shared=True) for kind, value, primary in shared]


def _activities(row: SimpleNamespace) -> list[Activity]:
    return [
        Activity(*each) for each in _rows(row.activity_ids, row.types, row.activity_kinds, row.occurred, row.recorded)
    ]


def _confirmations(row: SimpleNamespace) -> list[Confirmation]:
    columns = (row.criteria, row.statuses, row.user_ids, row.roles, row.confirmed_at)
    rest = (row.bant_values, row.evidences, row.dues, row.amounts)
    return [Confirmation(*each) for each in _rows(*columns, *rest)]


def _journey(row: SimpleNamespace) -> Journey | None:
    if row.journey_id is None:
        return None
    return Journey(
        id=row.journey_id,
        number=row.number,
        opened_at=row.opened_at,
        stage_entered_at=row.stage_entered_at,
        stage=row.stage,
        seq=row.seq,
        policy_id=row.policy_id,
        business=row.business,
        baseline_at=row.baseline_at,
        assigned_at=row.assigned_at,
        corrected_at=row.corrected_at,
        previous_owner_id=row.previous_owner_id,
        previous_role=row.previous_role,
        wake_at=row.wake_at,
        recycles=row.recycles,
        closed_at=row.closed_at,
        closing_reason=row.closing_reason,
        offer=None if row.offer is None else _offer(row.offer),
        last_number=row.last_number,
        stalled_at=row.stalled_at,
        lapsed=Lapsed.of(row.lapsed),
    )


def _clocks(row: SimpleNamespace) -> list[Run]:
    of_run = (row.run_clocks, row.run_minutes, row.run_started, row.run_recorded, row.run_owners, row.run_due)
    end = (row.run_met, row.run_met_recorded, row.run_stopped, row.run_stopped_recorded, row.run_breached)
    owners = (row.run_started_owners, row.run_breached_owners)
    rows = _rows(row.run_ids, *of_run, *end, row.run_business_minutes, *owners)
    return [Run(run_id, row.journey_id, *rest) for run_id, *rest in rows]


def _offer(stored: Mapping[str, Any]) -> Offer:
    return Offer(**{**stored, "accept_by": datetime.fromisoformat(stored["accept_by"])})


def _rows(*columns: list[Any] | None) -> list[tuple[Any, ...]]:
    """Zips the parallel arrays of an aggregate into tuples; empty if the aggregate had no row."""
    return [] if columns[0] is None else list(zip(*(column or () for column in columns), strict=True))
