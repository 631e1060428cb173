"""A lead as of a past instant: the stored lead with every later change undone.

What answers showed is put back as each later version kept it (`app.journeys.shown`); what rules decide on, which the
score is computed from, is read from the logs of that time.

`at` is compared with `recorded_at`, not with `occurred_at`: what had been recorded by then counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import LeadNotFound
from app.journeys import clocks_sql
from app.journeys.evaluate import score_at
from app.journeys.load import read_unmerged
from app.journeys.shown import (
    OF_EVENT,
    Document,
    computed_members,
    in_order_of,
    recorded_members,
    restored_members,
    show_lead,
)
from app.journeys.state import Change, Journey, Lead, Owner
from app.leads import past_sql, sql
from app.leads.absorb import FLAGGED
from app.leads.held import Held, held_at, survivor_at
from app.lifecycle.clocks import Run, as_of
from app.lifecycle.merging import MERGE
from app.matching.normalize import normalize
from app.matching.person import Identity
from app.policies.published import published_policy
from app.policy.document import Policy
from app.policy.facts import Activity, Confirmation
from app.web.fields import rfc3339

# Members with free names, which answers have in the order in which JSONB stores them.
FREE: Final = {"custom": None, "consents": None, "attribution": {"first": None, "last": None}}
WHOLE: Final = ("custom", "owner_id", "team", "wake_at", "links", "identities", "channel", "attribution", "consents")


async def read_as_of(tx: Tx, tenant_id: UUID, lead_id: UUID, at: datetime) -> Change:
    """The lead as of `at`, scored at `at` by the policy its journey followed then.

    While it was merged into another lead, that is the other one. Raises LeadNotFound or Erased for a lead that cannot
    be shown.
    """
    change = await read_unmerged(tx, tenant_id, lead_id, at)
    lead, present = change.lead, recorded_members(change.lead)
    merges = await past_sql.merges_of(tx, tenant_id, lead_id)
    if (survivor_id := survivor_at(lead_id, merges, at)) is not None:
        return await read_as_of(tx, tenant_id, survivor_id, at)
    held = held_at(lead_id, merges, at)
    if at < lead.created_at:
        raise LeadNotFound(f"The lead did not exist before {rfc3339(lead.created_at)}.")
    past = await past_sql.past(tx, tenant_id, lead_id, at, held)
    change.loaded = reduce(restored_members, past.undone or (), present) if past.all_kept else None
    before = merged_before(past.undone or ())
    lead.fields, lead.raw, lead.flags = (
        restored(values, before[name])
        for values, name in ((lead.fields, "fields"), (lead.raw, "raw"), (lead.flags, "flags"))
    )
    lead.custom = before.get("custom", lead.custom)
    if "owner_id" in before:
        lead.owner = await _owner(tx, tenant_id, before["owner_id"])
    lead.team = before.get("team", lead.team)
    if "identities" in before:
        lead.identities = [Identity(**one) for one in before["identities"]]
    kept = all("rules" in one for one in past.undone or ())
    _identities(lead, {tuple(key) for key in past.later_identities or ()}, flags_kept=kept)
    rows = await past_sql.activities_until(tx, tenant_id, lead_id, at, held)
    # Several merged leads may have had one of a key.
    lead.activities = list({(row.activity_key, row.source_id): Activity(*row[:5]) for row in rows}.values())
    rows = await sql.bant_of(tx, tenant_id, lead_id, held, at)
    lead.confirmations = [Confirmation(**row._mapping) for row in rows]
    lead.merged_into = None
    lead.consents = {name: "unknown" for name, state in lead.consents.items() if state == "unknown"} | (
        past.consents or {}
    )
    lead.first_touch, lead.last_touch = past.first_touch, past.last_touch
    _links(lead, past, before.get("links"))
    lead.version, lead.updated_at = past.version or 1, past.updated_at or lead.created_at
    if past.active_policy_id is not None:
        change.active = await published_policy(tx, tenant_id, past.active_policy_id)
    _below_threshold(lead, past.computed, at)
    await _journey(tx, tenant_id, change, at, held)
    if "wake_at" in before and lead.journey is not None:
        lead.journey.wake_at = _read(before["wake_at"])
    if (journey := lead.journey) is not None:
        lead.clocks = as_of([Run(*row) for row in await clocks_sql.runs_of_journey(tx, tenant_id, journey.id)], at)
    if past.undone and kept:
        await _rules(tx, tenant_id, change, past.undone[-1]["rules"])
    _end_below(change, at)
    score_at(change, at)
    return change


async def show_as_of(tx: Tx, tenant_id: UUID, lead_id: UUID, at: datetime) -> Document:
    """The lead as answers showed it at `at`. Problems as of `read_as_of`."""
    change = await read_as_of(tx, tenant_id, lead_id, at)
    shown = show_lead(change, merged_from=lead_id)
    kept = {name: old for name, old in (change.loaded or {}).items() if name not in OF_EVENT}
    return {**shown, **in_order_of({**shown, **FREE}, kept), **computed_members(change)}


def _below_threshold(lead: Lead, computed: Mapping[str, Any] | None, at: datetime) -> None:
    """Since when the lead was below the threshold at that time, as far as the last event until then says."""
    since = computed.get("below_threshold_since") if computed else rfc3339(lead.below_threshold_since)
    lead.below_threshold_since = _read(since)
    if lead.below_threshold_since is not None and lead.below_threshold_since > at:
        lead.below_threshold_since = None
    lead.threshold_met = lead.threshold_met or lead.below_threshold_since is not None


def _end_below(change: Change, at: datetime) -> None:
    """Lets time alone bring the lead back above the threshold, at each instant from the version of that time until `at`
    at which the worker evaluated it."""
    instant: datetime | None = change.lead.updated_at
    while change.lead.below_threshold_since is not None and instant is not None and instant < at:
        score_at(change, instant)
        instant = change.score.evaluate_at if change.score else None


def _links(lead: Lead, past: Record, replaced: Mapping[str, str | None] | None) -> None:
    """The links of the conversion at that time; without one, those of a contact that was known by then."""
    if past.account_id is None and past.contact_id is None and lead.flags.get("known_contact"):
        if replaced is not None:
            lead.account_id, lead.contact_id = (
                ids.read(kind, shown) if (shown := replaced[f"{kind}_id"]) else None for kind in ("account", "contact")
            )
    else:
        lead.account_id, lead.contact_id = past.account_id, past.contact_id
    lead.opportunity_id = past.opportunity_id


def merged_before(undone: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merges the old values of later changes, given latest first, so that the oldest value of each field wins."""
    before: dict[str, Any] = {"fields": {}, "raw": {}, "flags": {}}
    for one in undone:
        replaced = {name: value for name, value in one.items() if name in WHOLE}
        before |= replaced | {name: before[name] | one.get(name, {}) for name in ("fields", "raw", "flags")}
    return before


def restored(values: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The present values, with those that later changes replaced put back."""
    return {name: value for name, value in {**values, **before}.items() if value is not None}


async def _owner(tx: Tx, tenant_id: UUID, owner: str | None) -> Owner | None:
    row = None if owner is None else await sql.user(tx, tenant_id, ids.read("user", owner))
    return None if row is None else Owner(row.id, row.role, row.team)


def _identities(lead: Lead, later: AbstractSet[tuple[str, str, str]], *, flags_kept: bool) -> None:
    """Keeps the identities known then. Which is primary follows from the fields at that time, and so do the flags of
    the e-mail address where they were not kept."""
    typed = {name: lead.fields.get(name) or lead.raw.get(name) for name in ("email", "phone")}
    person = normalize(typed, {}, lead.fields.get("country"))
    primary = {one.kind: one.key for one in person.identities if one.primary}
    known = [one for one in lead.identities if one.key not in later]
    lead.identities = [
        replace(one, primary=primary[one.kind] == one.key if one.kind in primary else one.primary) for one in known
    ]
    if typed["email"] and not flags_kept:
        lead.flags |= {name: getattr(person, name) for name in FLAGGED}


async def _journey(tx: Tx, tenant_id: UUID, change: Change, at: datetime, held: Held) -> None:
    """Restores the journey that was the present one at `at`, and the policy it followed."""
    whole = await sql.transitions_of(tx, tenant_id, change.lead.id, held)
    log = [row for row in whole if row.recorded_at <= at]
    if not log or (len(log) == len(whole) and not held.differs):
        change.lead.journey = change.lead.journey if log else None
        return
    journeys = {row.id: row for row in await sql.journeys_of(tx, tenant_id, change.lead.id, held)}
    order = {one.id: n for n, one in enumerate(sorted(journeys.values(), key=lambda one: (one.opened_at, one.id)), 1)}
    last = await _last(tx, tenant_id, log)
    row = journeys[last.journey_id]
    log.sort(key=lambda one: (order[one.journey_id], one.seq))
    change.lead.journey = Journey(
        id=row.id,
        number=order[row.id],
        stage=last.to_stage,
        seq=last.seq,
        stage_entered_at=last.occurred_at,
        opened_at=row.opened_at,
        business=row.business,
        baseline_at=await _baseline(tx, tenant_id, log, last),
    )
    followed = change.former = await published_policy(tx, tenant_id, last.policy_id)
    change.pinned = followed if _is_pinned_after(followed.policy, last) else None


async def _rules(tx: Tx, tenant_id: UUID, change: Change, kept: Mapping[str, str | None]) -> None:
    """What the score depends on besides what was shown, as the next version kept it."""
    if (journey := change.lead.journey) is not None:
        journey.baseline_at, journey.assigned_at = _read(kept["baseline_at"]), _read(kept["assigned_at"])
    policy_id = kept["policy_id"]
    change.pinned = None if policy_id is None else await published_policy(tx, tenant_id, ids.read("policy", policy_id))


def _read(shown: str | None) -> datetime | None:
    return None if shown is None else datetime.fromisoformat(shown)


async def _last(tx: Tx, tenant_id: UUID, log: Sequence[Record]) -> Record:
    """The last transition of the journey that the log leaves open, else of the one that it closed last."""
    ends = {row.journey_id: row for row in log}.values()

    async def closed_at(row: Record) -> tuple[bool, datetime, int]:
        stage = (await published_policy(tx, tenant_id, row.policy_id)).policy.stage_of.get(row.to_stage)
        return stage is not None and stage.kind in ("open", "parked"), row.occurred_at, row.number

    return max([(await closed_at(row), row) for row in ends], key=lambda one: one[0])[1]


def _is_pinned_after(policy: Policy, last: Record) -> bool:
    """Whether the journey was pinned to its policy after this transition. Closing does not pin or unpin."""
    closed = last.to_stage not in policy.stage_of or policy.stage_of[last.to_stage].kind in ("closed", "merged")
    return policy.past_threshold(last.from_stage if closed else last.to_stage)


async def _baseline(tx: Tx, tenant_id: UUID, log: Sequence[Record], last: Record) -> datetime | None:
    """The baseline after these transitions: when a journey last set it, or when the last of the others ended.

    A journey that merging closed did not end: another one goes on in its place.
    """
    ends = {row.journey_id: row for row in log if row.journey_id != last.journey_id}.values()
    found = [row.occurred_at for row in ends if row.action != MERGE]
    for row in log:
        action = (await published_policy(tx, tenant_id, row.policy_id)).policy.action_of.get(row.action)
        if action is not None and any(effect.set_baseline for effect in action.effects):
            found.append(row.occurred_at)
    return max(found, default=None)
