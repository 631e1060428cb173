"""Merge a lead into another: the union of what both have, once (lifecycle.md, section 6; docs/decisions/0041).

The lead that is merged keeps its own row, with fields, score and history; what belongs to the person moves, and the
journal (`lead_merges`) keeps what has moved, so that it can be undone and `as_of` can tell both apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.errors import LeadMerged, RequestInvalid, TargetUnavailable
from app.journeys import sql as journeys_sql
from app.journeys.apply import apply_move, assign
from app.journeys.evaluate import evaluate
from app.journeys.load import reload
from app.journeys.record import actor_document, record
from app.journeys.refusals import problem
from app.journeys.state import Change, Journey, Lead, Owner
from app.leads import sql as leads_sql
from app.leads.absorb import FLAGGED, MAX_NAMES, add_updated_event, fill_empty_fields, mark_changed, set_flag
from app.leads.contact_consents import carry_to_contacts
from app.leads.duplicates import pair_of
from app.lifecycle.merging import REASON, closing, going_on, refused_merger
from app.matching.name_key import compare, name_key
from app.matching.person import Person
from app.merging import sql
from app.merging.pair import (
    lock_pair,
    merge_event,
    numbered,
    refresh_consents,
    refresh_shared_phone,
    refresh_suspected,
    refresh_touches,
    standing,
    undecided,
    wait_for_turn,
)
from app.web import versions
from app.web.auth import Caller

MARKS: Final = ("known_contact", "blocked_reinquiry", "shared_mailbox_suspected", "icp_exception")
LINKS: Final = ("account_id", "contact_id", "opportunity_id")


@dataclass(frozen=True, slots=True)
class Moving:
    """The journeys of both leads: all with their new numbers, the ids of those that move, their baselines, and when
    each ended, unless by merging."""

    placed: list[dict[str, Any]]
    moved: list[UUID]
    baselines: list[datetime]
    ends: dict[UUID, datetime]

    def baseline_of(self, journey: Journey) -> datetime | None:
        """From when on interest counts in the journey, if it is the present one."""
        ends = (at for journey_id, at in self.ends.items() if journey_id != journey.id)
        return max((*self.baselines, *ends), default=None)

    def number_of(self, journey: Journey) -> int:
        return int(next(one["number"] for one in self.placed if one["id"] == journey.id))


async def merge(
    tx: Tx, caller: Caller, lead_id: UUID, into: UUID, expected: frozenset[str] | None, now: datetime
) -> None:
    """Merges the lead into another one, which remains.

    Raises LeadNotFound, Erased, LeadMerged or VersionConflict, HumanRequired or RoleNotAllowed for who may not merge,
    and RequestInvalid or TargetUnavailable for an `into` that cannot take the lead.
    """
    if into == lead_id:
        raise RequestInvalid.of("into", "same_lead", "a lead cannot be merged into itself")
    await wait_for_turn(tx, caller)
    gone, kept = await lock_pair(tx, caller, (lead_id, into), now, "into")
    await check_unmerged(tx, caller.tenant_id, gone)
    versions.check(expected, gone.lead.version)
    if (refused := refused_merger(caller.actor)) is not None:
        raise problem(refused.why)
    if kept.lead.erased_at is not None:
        raise TargetUnavailable.in_field("into", "The lead was erased.")
    await check_unmerged(tx, caller.tenant_id, kept)
    if gone.lead.kind != kept.lead.kind:
        raise RequestInvalid.of("into", "other_kind", f"a {gone.lead.kind} cannot be merged into a {kept.lead.kind}")
    await merge_locked(tx, caller, gone, kept, now)


async def check_unmerged(tx: Tx, tenant_id: UUID, change: Change) -> None:
    """Raises LeadMerged with the lead that remained, if the lead was merged."""
    if change.lead.merged_into is not None:
        survivor_id = await journeys_sql.survivor_of(tx, tenant_id, change.lead.id)
        raise LeadMerged(merged_into=ids.show("lead", survivor_id))


async def merge_locked(tx: Tx, caller: Caller, gone: Change, kept: Change, now: datetime) -> None:
    """Merges two locked leads of one kind, neither of which was merged before."""
    tenant_id, before = caller.tenant_id, (gone.lead, kept.lead)
    moving = await _journeys(tx, tenant_id, gone, kept)
    of_kept, of_gone = standing(kept), standing(gone)
    ahead, behind = (kept, gone) if going_on(of_kept, of_gone) is of_kept else (gone, kept)
    left_at = behind.lead.journey.wake_at if behind.lead.journey else None
    closed = _close(behind, ahead, behind is kept, moving)
    primary = sorted({one.kind for one in kept.lead.identities if one.primary})
    rows = await sql.move(tx, tenant_id, gone.lead.id, kept.lead.id, primary)
    await reload(tx, tenant_id, gone)
    await reload(tx, tenant_id, kept)
    filled = _fill(kept, before[0])
    if ahead is gone:
        _take_journey(kept, before[0], gone)
    filled |= {"wake_at": written(left_at), "baseline_at": _place(kept, moving)}
    filled |= _take_links(kept, before[0], ahead is gone)
    filled["purposes"] = sorted(kept.lead.consents)
    await refresh_consents(tx, tenant_id, kept, undecided(kept) | before[0].consents.keys())
    await refresh_touches(tx, tenant_id, kept)
    await refresh_shared_phone(tx, tenant_id, kept, without=gone.lead.id)
    await refresh_suspected(tx, tenant_id, kept, gone.lead.id)
    add_updated_event(kept)
    _leave(gone, kept.lead.id)
    kept.early_events.insert(0, merge_event("lead.merged", kept, gone.lead.id, kept.lead.id, closed))
    gone.late_events.append(merge_event("lead.merged", gone, gone.lead.id, kept.lead.id, closed))
    for change in (gone, kept):
        evaluate(change)
    await record(tx, tenant_id, [gone, kept])
    await sql.place_journeys(tx, tenant_id, moving.placed)
    await sql.follow_journeys(tx, tenant_id, gone.lead.id, kept.lead.id, moving.moved)
    journal = {
        "id": ids.new_id(),
        "merged_id": gone.lead.id,
        "survivor_id": kept.lead.id,
        "moved": [*rows.moved, *moving.moved],
        "submission_items": rows.submission_items,
        "identities": _identities(*before),
        "filled": filled,
        "closed_journey_id": closed,
        "actor": actor_document(caller.actor),
        "merged_at": now,
    }
    await sql.write_merge(tx, tenant_id, journal)
    pair, actor = pair_of(gone.lead.id, kept.lead.id), actor_document(caller.actor)
    await sql.decide_pair(tx, tenant_id, pair, "merged", actor, now)
    await carry_to_contacts(tx, tenant_id, [kept], now, again=True)


async def _journeys(tx: Tx, tenant_id: UUID, gone: Change, kept: Change) -> Moving:
    theirs, mine = [await leads_sql.journeys_of(tx, tenant_id, change.lead.id) for change in (gone, kept)]
    rows = [{"id": row.id, "opened_at": row.opened_at} for row in (*theirs, *mine)]
    return Moving(
        numbered(rows, kept.lead.id),
        [row.id for row in theirs],
        [row.baseline_at for row in (*theirs, *mine) if row.baseline_at is not None],
        {row.id: row.closed_at for row in (*theirs, *mine) if row.closed_at and row.closing_reason != REASON},
    )


def _close(behind: Change, ahead: Change, is_kept: bool, moving: Moving) -> UUID | None:
    """Closes the journey that stays behind, if both are open; its id."""
    journey, other = behind.lead.journey, ahead.lead.journey
    if journey is None or other is None or journey.closed_at is not None:
        return None
    if is_kept:
        journey.number = moving.number_of(journey)
    at = max(behind.now, behind.lead.last_occurred_at or behind.now)
    goes_on: dict[str, object] = {"goes_on": ids.show("journey", other.id)}
    apply_move(behind, closing(standing(behind), behind.actor, at, goes_on))
    return journey.id


def _fill(kept: Change, gone: Lead) -> dict[str, Any]:
    """Fills what the lead does not have from the other one; the names of what it took."""
    known_custom = set(kept.lead.custom)
    flags: dict[str, Any] = {name: gone.flags.get(name) for name in FLAGGED}
    person = Person(gone.fields, gone.raw, kind=gone.kind, phone_status=gone.flags.get("phone_status"), **flags)
    fill_empty_fields(kept, person, gone.custom)
    filled: dict[str, Any] = {
        "fields": [name for name, old in kept.before.get("fields", {}).items() if old is None],
        "custom": sorted(kept.lead.custom.keys() - known_custom),
        "marks": [name for name in MARKS if gone.flags.get(name) and not kept.lead.flags.get(name)],
    }
    for name in filled["marks"]:
        set_flag(kept, name, gone.flags[name])
        mark_changed(kept, name)
    if new := [name for name in names_of(gone, kept.lead) if name not in (kept.lead.flags.get("other_names") or ())]:
        set_flag(kept, "other_names", [*(kept.lead.flags.get("other_names") or ()), *new][:MAX_NAMES])
        mark_changed(kept, "other_names")
        filled["marks"].append("other_names")
    return filled


def names_of(gone: Lead, kept: Lead) -> list[str]:
    """The other names of a merged lead, and its own where that contradicts the name of the lead that remains."""
    mine, theirs = (
        name_key(*(lead.fields.get(part) for part in ("first_name", "last_name", "full_name"))) for lead in (kept, gone)
    )
    parts = (gone.fields.get("first_name"), gone.fields.get("last_name"))
    own = gone.fields.get("full_name") or " ".join(filter(None, parts))
    return [*(gone.flags.get("other_names") or ()), *([own] if own and compare(mine, theirs) == "other" else [])]


def _take_journey(kept: Change, before: Lead, gone: Change) -> None:
    """Makes the journey of the merged lead the present one."""
    lead = kept.lead
    lead.journey, lead.held_stage, lead.last_occurred_at = before.journey, before.held_stage, before.last_occurred_at
    lead.milestones, lead.threshold_met, lead.clocks = before.milestones, before.threshold_met, before.clocks
    lead.below_threshold_since = before.below_threshold_since
    kept.pinned = gone.pinned


def _place(kept: Change, moving: Moving) -> list[str | None]:
    """Numbers the present journey among all of both, and moves its baseline; its id, the baseline before and after."""
    journey = kept.lead.journey
    if journey is None:
        return [None, None, None]
    before = journey.baseline_at
    journey.number, journey.last_number = moving.number_of(journey), len(moving.placed)
    journey.baseline_at = moving.baseline_of(journey)
    if journey.baseline_at != before:
        kept.touch(journey)
    return [str(journey.id), *(written(at) for at in (before, journey.baseline_at))]


def _take_links(kept: Change, gone: Lead, gone_is_ahead: bool) -> dict[str, Any]:
    """Owner, team and links of the lead whose journey goes on, or else of the other; what they replaced."""
    lead = kept.lead
    first, second = (gone, lead) if gone_is_ahead else (lead, gone)
    owner = first.owner or second.owner
    replaced: dict[str, Any] = {"owner_id": [_id_of(lead.owner), _id_of(owner)]}
    if first.opportunity_id or second.opportunity_id:
        lead.opportunity_class = first.opportunity_class if first.opportunity_id else second.opportunity_class
    for name in LINKS:
        old, new = getattr(lead, name), getattr(first, name) or getattr(second, name)
        replaced[name] = [old and str(old), new and str(new)]
        setattr(lead, name, new)
    lead.team = first.team or second.team
    if _id_of(owner) != _id_of(lead.owner):
        assign(kept, lead.journey, owner)
    return replaced


def written(at: datetime | None) -> str | None:
    """An instant as it is kept in the journal."""
    return None if at is None else at.isoformat()


def _id_of(owner: Owner | None) -> str | None:
    return None if owner is None else str(owner.id)


def _identities(gone: Lead, kept: Lead) -> list[dict[str, Any]]:
    """The identities of the merged lead; `moved` are those that the other did not have."""
    known = {one.key for one in kept.identities}
    return [
        {
            "kind": one.kind,
            "namespace": one.namespace,
            "value": one.value,
            "primary": one.primary,
            "moved": one.key not in known,
        }
        for one in gone.identities
    ]


def _leave(gone: Change, into: UUID) -> None:
    """Leaves the merged lead without a journey."""
    lead = gone.lead
    lead.merged_into, lead.journey, lead.held_stage, lead.last_occurred_at = into, None, None, None
    lead.milestones, lead.clocks, gone.pinned = set(), [], None
