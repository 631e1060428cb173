"""Undo a merge: each lead has again what it had, and what came since through its own identities, as the journal says.

What the lead that remained took over is taken back where it is unchanged (docs/decisions/0041).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import Erased, LeadMerged, LeadNotMerged
from app.journeys.apply import apply_move, assign
from app.journeys.evaluate import evaluate
from app.journeys.load import read_unmerged, reload
from app.journeys.owner import active_owner
from app.journeys.record import record
from app.journeys.refusals import problem
from app.journeys.state import Change, Lead
from app.leads import duplicates_sql
from app.leads import sql as leads_sql
from app.leads.absorb import (
    add_updated_event,
    fill_empty_fields,
    flag_email,
    mark_changed,
    set_field,
    set_flag,
    set_raw,
)
from app.leads.contact_consents import carry_to_contacts
from app.leads.duplicates import pair_of
from app.leads.merged_sql import copy_consents
from app.lifecycle.merging import UNMERGE, refused_merger, reopening
from app.matching.derive import rederived
from app.matching.normalize import normalize
from app.matching.person import Person
from app.merging import sql
from app.merging.merge import LINKS, names_of
from app.merging.pair import (
    lock_pair,
    merge_event,
    numbered,
    refresh_consents,
    refresh_shared_phone,
    refresh_touches,
    standing,
    undecided,
    wait_for_turn,
)
from app.web import versions
from app.web.auth import Caller

KINDS: Final = ("email", "phone")


async def unmerge(tx: Tx, caller: Caller, lead_id: UUID, expected: frozenset[str] | None, now: datetime) -> None:
    """Makes two leads of the merged lead and the one that it was merged into.

    `expected` is compared with the version of the latter, which is what a GET of the merged lead shows. Raises
    LeadNotFound, LeadNotMerged, Erased where one of both was erased, LeadMerged where the other was merged further,
    VersionConflict, HumanRequired or RoleNotAllowed.
    """
    tenant_id = caller.tenant_id
    await wait_for_turn(tx, caller)
    merge = await sql.live_merge(tx, tenant_id, lead_id)
    if merge is None:
        await read_unmerged(tx, tenant_id, lead_id, now)
        raise LeadNotMerged()
    gone, kept = await lock_pair(tx, caller, (lead_id, merge.survivor_id), now)
    _check_survivor(kept)
    versions.check(expected, kept.lead.version)
    if (refused := refused_merger(caller.actor, UNMERGE)) is not None:
        raise problem(refused.why)
    await sql.move_back(tx, tenant_id, merge)
    refusals = await sql.refused_since(tx, tenant_id, kept.lead.id, merge.merged_at)
    await copy_consents(tx, tenant_id, refusals, gone.lead.id)
    await _part_journeys(tx, tenant_id, gone, kept, merge)
    for change in (gone, kept):
        await reload(tx, tenant_id, change)
        _reopen(change, merge)
        _restore_baseline(change, *merge.filled["baseline_at"])
    gone.lead.merged_into = None
    _fill_again(gone, merge, merged=True)
    await _take_back(tx, tenant_id, kept, gone.lead, merge)
    _fill_again(kept, merge, merged=False)
    for change, asked in zip((kept, gone), _asked(kept, gone, merge), strict=True):
        await refresh_consents(tx, tenant_id, change, asked)
        await refresh_touches(tx, tenant_id, change)
    pair = pair_of(lead_id, merge.survivor_id)
    is_pair = bool(await duplicates_sql.pairs(tx, tenant_id, [pair]))
    for change in (kept, gone):
        if is_pair and not change.lead.flags.get("duplicate_suspected"):
            set_flag(change, "duplicate_suspected", True)
            mark_changed(change, "duplicate_suspected")
        await refresh_shared_phone(tx, tenant_id, change, besides=lead_id)
        add_updated_event(change)
        told = merge_event("lead.unmerged", change, lead_id, merge.survivor_id, merge.closed_journey_id)
        change.early_events.insert(0, told)
    for change in (gone, kept):
        evaluate(change)
    await record(tx, tenant_id, [gone, kept])
    await sql.end_merge(tx, tenant_id, merge.id, now)
    await sql.decide_pair(tx, tenant_id, pair, "open", None, now)
    await carry_to_contacts(tx, tenant_id, [gone, kept], now, again=True)


def _check_survivor(kept: Change) -> None:
    if kept.lead.erased_at is not None:
        raise Erased("The lead into which this one was merged was erased.")
    if kept.lead.merged_into is not None:
        raise LeadMerged(
            f"The lead {ids.show('lead', kept.lead.id)}, into which this one was merged, was merged too:"
            " undo that merge first.",
            merged_into=ids.show("lead", kept.lead.merged_into),
        )


async def _part_journeys(tx: Tx, tenant_id: UUID, gone: Change, kept: Change, merge: Record) -> None:
    """Gives the journeys back that the merge has moved, and numbers those of both leads."""
    rows = await leads_sql.journeys_of(tx, tenant_id, kept.lead.id)
    known = [{"id": row.id, "opened_at": row.opened_at} for row in rows]
    back = [one for one in known if one["id"] in set(merge.moved)]
    stay = [one for one in known if one not in back]
    placed = numbered(back, gone.lead.id) + numbered(stay, kept.lead.id)
    await sql.place_journeys(tx, tenant_id, placed)
    await sql.follow_journeys(tx, tenant_id, kept.lead.id, gone.lead.id, [one["id"] for one in back])


def _reopen(change: Change, merge: Record) -> None:
    """Opens the journey that merging closed, if it is the present one and nothing has happened to it since."""
    journey = change.lead.journey
    if journey is None or journey.id != merge.closed_journey_id:
        return
    at = max(change.now, change.lead.last_occurred_at or change.now)
    move = reopening(standing(change), change.actor, at, read(merge.filled["wake_at"]))
    if move is not None:
        apply_move(change, move)


def _restore_baseline(change: Change, journey_id: str | None, old: str | None, new: str | None) -> None:
    """Gives the journey that went on the baseline that it had, if it still has that of the merge."""
    journey = change.lead.journey
    if journey is not None and str(journey.id) == journey_id and old != new and journey.baseline_at == read(new):
        journey.baseline_at = read(old)
        change.touch(journey)


def read(written: str | None) -> datetime | None:
    """An instant of the journal."""
    return None if written is None else datetime.fromisoformat(written)


async def _take_back(tx: Tx, tenant_id: UUID, kept: Change, gone: Lead, merge: Record) -> None:
    """Takes back what the lead took from the other, where it still has the same."""
    lead, filled = kept.lead, merge.filled
    before = dict(lead.fields)
    same = [name for name in filled["fields"] if lead.fields.get(name) == gone.fields.get(name) and name not in KINDS]
    for name in same:
        set_field(kept, name, None)
        set_raw(kept, name, None)
    returned = [kind for kind in KINDS if _restore_address(kept, kind)]
    for name, value in rederived(before, lead.fields, [*same, *returned]).items():
        set_field(kept, name, value)
        set_raw(kept, name, None)
    _take_back_custom(kept, gone, filled["custom"])
    _take_back_marks(kept, gone, filled["marks"])
    await _take_back_links(tx, tenant_id, kept, gone, merge)


def _fill_again(change: Change, merge: Record, *, merged: bool) -> None:
    """Fills empty fields with what has arrived since the merge through the identities of this lead, in that order."""
    for since in merge.filled.get("since", ()):
        if since["merged"] == merged:
            person = Person(since["fields"], since["raw"], kind=change.lead.kind, **since["flags"])
            fill_empty_fields(change, person, since["custom"])


def _asked(kept: Change, gone: Change, merge: Record) -> tuple[set[str], set[str]]:
    """The purposes of which each person was asked: before the merge, or since then through their own identities."""
    since: dict[bool, set[str]] = {True: set(), False: set()}
    for one in merge.filled.get("since", ()):
        since[one["merged"]].update(one.get("purposes", ()))
    of_gone = undecided(gone) | since[True]
    mine = since[False].union(merge.filled.get("purposes", undecided(kept)))  # older journals have no `purposes`
    theirs = of_gone | gone.lead.consents.keys()
    return kept.lead.consents.keys() & mine | undecided(kept) - theirs, of_gone


def _restore_address(kept: Change, kind: str) -> bool:
    """Replaces an address or number that the lead has no more by one that it has, if any; whether it did."""
    lead = kept.lead
    typed = lead.fields.get(kind)
    named = normalize({kind: typed}, {}, None).identities if typed else ()
    own = {one.key: one for one in lead.identities if one.kind == kind}
    if not named or any(one.key in own for one in named):
        return False
    primary = next(iter(sorted(own.values(), key=lambda one: not one.primary)), None)
    person = normalize({kind: primary.value}, {}, None) if primary else Person()
    set_field(kept, kind, person.fields.get(kind))
    set_raw(kept, kind, None)
    if primary is not None and not primary.primary:
        lead.identities = [replace(one, primary=True) if one == primary else one for one in lead.identities]
        kept.new_identities.append(replace(primary, primary=True))
    if kind == "email":
        flag_email(kept, person)
    else:
        set_flag(kept, "phone_status", person.phone_status)
    return True


def _take_back_custom(kept: Change, gone: Lead, names: list[str]) -> None:
    lead = kept.lead
    same = [name for name in names if name in lead.custom and lead.custom[name] == gone.custom.get(name)]
    if same:
        kept.before["custom"] = dict(lead.custom)
        lead.custom = {name: value for name, value in lead.custom.items() if name not in same}
        for name in same:
            mark_changed(kept, f"custom.{name}")


def _take_back_marks(kept: Change, gone: Lead, marks: list[str]) -> None:
    for name in marks:
        if name == "other_names":
            theirs = names_of(gone, kept.lead)
            left = [one for one in kept.lead.flags.get(name) or () if one not in theirs]
            set_flag(kept, name, left or None)
        elif name == "icp_exception" and kept.lead.flags.get(name) != gone.flags.get(name):
            continue  # somebody has set another one since, or taken it back
        else:
            set_flag(kept, name, None if name == "icp_exception" else False)
        mark_changed(kept, name)


async def _take_back_links(tx: Tx, tenant_id: UUID, kept: Change, gone: Lead, merge: Record) -> None:
    lead, filled = kept.lead, merge.filled
    old, new = filled["owner_id"]
    if old != new and lead.owner is not None and str(lead.owner.id) == new:
        assign(kept, lead.journey, await active_owner(tx, tenant_id, UUID(old)) if old else None)
    since = await sql.converted_since(tx, tenant_id, [lead.id, gone.id], merge.merged_at)
    for name in LINKS:
        old, new = filled[name]
        # A journey that goes back takes the conversion with it that was made of it meanwhile.
        theirs = getattr(since.get(gone.id), name, None)
        if str(getattr(lead, name)) in {str(theirs), new} - {str(None), old}:
            mine = getattr(since.get(lead.id), name, None)
            setattr(lead, name, mine or (UUID(old) if old else None))
            if name == "opportunity_id":
                lead.opportunity_class = None
        if theirs is not None:
            setattr(gone, name, theirs)
