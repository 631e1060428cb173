"""The lead as answers show it (api.md, section 4), and what of it a change replaces.

Each version of a lead keeps the members that it replaced, and each event the members that time alone changes; so the
answer as of an event can be rebuilt, whatever was recorded later (`leads/included.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.plain_json import write_json
from app.journeys.state import Change, Lead
from app.lifecycle.clocks import shown
from app.matching.normalize import CANONICAL, RAW
from app.policy.facts import CRITERIA, Confirmation
from app.web.fields import rfc3339

Document = dict[str, Any]

# Members whose old values are kept by name, None where there was none; and the names that are always there.
BY_NAME: Final = {"fields": CANONICAL, "raw": RAW}
# Members that are not kept: each event has their values of its time.
OF_EVENT: Final = frozenset({"version", "updated_at", "score", "below_threshold_since", "sla", "stalled_since"})


def show_lead(change: Change, merged_from: UUID | None = None) -> Document:
    """The lead as answers show it, after a read or a write. `merged_from`: the merged lead that was asked for."""
    shown = {**recorded_members(change.lead), **computed_members(change)}
    if merged_from in (None, change.lead.id):
        return shown
    return {**shown, "merged_from": ids.shown("lead", merged_from)}


def computed_members(change: Change) -> Document:
    """The members that change with time too, without a new version."""
    score = change.score
    assert score is not None, "a lead is scored before it is shown"
    return {
        "score": {
            "fit": score.fit,
            "engagement": score.engagement,
            "level": score.level,
            "temperature": score.temperature,
        },
        "below_threshold_since": rfc3339(change.lead.below_threshold_since),
        "sla": _show_sla(change),
        "stalled_since": _show_stalled_since(change),
    }


def _show_sla(change: Change) -> Document | None:
    """The clock that the lead shows, in its state of now."""
    run = shown(change.lead.clocks)
    if run is None:
        return None
    instants = {"started_at": rfc3339(run.started_at), "due_at": rfc3339(run.due_at)}
    return {"clock": run.clock, **instants, "state": run.state(change.now)}


def _show_stalled_since(change: Change) -> str | None:
    """Since when the journey stands in its stage for longer than the policy allows; None if it does not."""
    journey = change.lead.journey
    stage = change.published.policy.stage_of.get(journey.stage) if journey else None
    since = stage.stale_since(journey.stage_entered_at) if journey and stage else None
    return rfc3339(since) if since is not None and since < change.now else None


def recorded_members(lead: Lead) -> Document:
    """The members that change only with the version; the others are None."""
    journey = lead.journey
    return {
        "id": ids.show("lead", lead.id),
        "version": lead.version,
        "kind": lead.kind,
        "stage": journey.stage if journey else None,
        "journey_no": journey.number if journey else None,
        "seq": journey.seq if journey else None,
        "stage_entered_at": rfc3339(journey.stage_entered_at) if journey else None,
        "journey_opened_at": rfc3339(journey.opened_at) if journey else None,
        "fields": {name: lead.fields.get(name) for name in CANONICAL},
        "custom": dict(lead.custom),
        "identities": [
            {"kind": one.kind, "value": one.value, "namespace": one.namespace, "primary": one.primary}
            for one in lead.identities
        ],
        "score": None,
        "owner_id": ids.shown("user", lead.owner.id if lead.owner else None),
        "team": lead.team,
        "sla": None,
        "wake_at": rfc3339(journey.wake_at) if journey else None,
        "bant": show_bant(lead.confirmations),
        "raw": {name: lead.raw.get(name) for name in RAW} | lead.raw,
        "email_status": lead.flags.get("email_status"),
        "phone_status": lead.flags.get("phone_status"),
        "below_threshold_since": None,
        "stalled_since": None,
        "duplicate_suspected": bool(lead.flags.get("duplicate_suspected")),
        "shared_mailbox_suspected": bool(lead.flags.get("shared_mailbox_suspected")),
        "other_names": list(lead.flags.get("other_names") or ()),
        "icp_exception": lead.flags.get("icp_exception"),
        "known_contact": bool(lead.flags.get("known_contact")),
        "blocked_reinquiry": bool(lead.flags.get("blocked_reinquiry")),
        "attribution": {"first": lead.first_touch or {}, "last": lead.last_touch or {}},
        "consents": dict(lead.consents),
        "channel": lead.channel,
        "source_id": ids.shown("source", lead.source_id),
        "links": {
            "account_id": ids.shown("account", lead.account_id),
            "contact_id": ids.shown("contact", lead.contact_id),
            "opportunity_id": ids.shown("opportunity", lead.opportunity_id),
        },
        "merged_into": ids.shown("lead", lead.merged_into),
        "created_at": rfc3339(lead.created_at),
        "updated_at": rfc3339(lead.updated_at),
    }


def kept_members(lead: Lead) -> Document:
    """What each version keeps of the one before: the shown members, and `rules`, by which a past score is computed."""
    journey = lead.journey
    rules = None if journey is None else (journey.baseline_at, journey.assigned_at, journey.policy_id)
    baseline_at, assigned_at, policy_id = rules or (None, None, None)
    return {
        **recorded_members(lead),
        "rules": {
            "baseline_at": rfc3339(baseline_at),
            "assigned_at": rfc3339(assigned_at),
            "policy_id": ids.shown("policy", policy_id),
        },
    }


def replaced_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> Document:
    """The old values of the members that differ; of BY_NAME only the names that differ."""
    replaced: Document = {}
    for name in before.keys() - OF_EVENT:
        old, new = before[name], after[name]
        # As JSON, since Python takes 1, 1.0 and True for the same; most members are texts, of which this is not so.
        if old is new or (type(old) is type(new) is str and old == new) or write_json(old) == write_json(new):
            continue
        if name in BY_NAME:
            old = {key: old.get(key) for key in {**old, **new} if write_json(old.get(key)) != write_json(new.get(key))}
        replaced[name] = old
    return replaced


def restored_members(document: Document, before: Mapping[str, Any]) -> Document:
    """The document with old values put back. Of `before` it takes the members of the document only."""
    old = {name: value for name, value in before.items() if name in document}
    for name, always in BY_NAME.items():
        if name in old:
            whole = {**document[name], **old[name]}
            old[name] = {key: value for key, value in whole.items() if value is not None or key in always}
    return {**document, **old} if old else document


def in_order_of(pattern: Any, value: Any) -> Any:
    """The same value with its members in the order of the pattern: JSONB does not keep the order of what it stores."""
    if isinstance(value, dict) and isinstance(pattern, dict):
        names = [*(name for name in pattern if name in value), *(name for name in value if name not in pattern)]
        return {name: in_order_of(pattern.get(name), value[name]) for name in names}
    if isinstance(value, list) and isinstance(pattern, list) and pattern:
        return [in_order_of(pattern[0], one) for one in value]
    return value


def show_bant(confirmations: list[Confirmation]) -> dict[str, Any]:
    """The latest confirmation of each criterion, whoever gave it."""
    latest = {row.criterion: row for row in confirmations}
    return {criterion: show_confirmation(latest.get(criterion)) for criterion in CRITERIA}


def show_confirmation(row: Confirmation | None) -> dict[str, Any]:
    """One confirmation of one criterion; None is none."""
    if row is None:
        return {"status": "unknown", "value": None, "evidence": None}
    shown: dict[str, Any] = {
        "status": row.status,
        "value": row.value,
        "evidence": row.evidence,
        "confirmed_by": ids.show("user", row.user_id),
        "confirmed_role": row.role,
        "confirmed_at": rfc3339(row.recorded_at),
    }
    if row.due_on is not None:
        shown["due_on"] = row.due_on.isoformat()
    if row.amount is not None:
        shown["amount"] = row.amount
    return shown
