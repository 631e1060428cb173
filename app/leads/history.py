"""Read leads: one or a page, scored, and the timeline of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.journeys import sql as journeys
from app.journeys.evaluate import score_at
from app.journeys.load import former_policy, lead_of, read_lead
from app.journeys.shown import computed_members, show_lead
from app.journeys.state import Change
from app.leads import sql
from app.leads.schemas import show_activity, show_entry, show_transition
from app.matching.external_id import readings
from app.matching.normalize import normalize
from app.policies.published import published_policy
from app.scoring.personas import persona_matches
from app.scoring.score import score
from app.web.fields import plus_hint, rfc3339

TIMELINE = 1_000


async def read_scored(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> Change:
    """The stored lead, with its score at `now`."""
    change = await read_lead(tx, tenant_id, lead_id, now)
    score_at(change, now)
    return change


async def leads_of(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], now: datetime) -> list[dict[str, Any]]:
    """The leads with these ids as answers show them, in the order of the ids."""
    if not lead_ids:
        return []
    shown = {}
    for row in await journeys.load_leads(tx, tenant_id, lead_ids):
        active = await published_policy(tx, tenant_id, row.active_policy_id)
        pinned = await published_policy(tx, tenant_id, row.policy_id) if row.policy_id is not None else None
        former = await former_policy(tx, tenant_id, row)
        change = Change(lead_of(row), active, pinned, now, former=former)
        score_at(change, now)
        shown[row.id] = show_lead(change)
    return [shown[lead_id] for lead_id in lead_ids if lead_id in shown]


def moved_members(change: Change) -> dict[str, Any] | None:
    """What time or a new policy has changed in the answer since the lead's version was written; None if nothing."""
    written = change.lead.updated_at
    before = replace(change, now=written, score=score(change.published.policy, change.facts(), written))
    shown = computed_members(change)
    return shown if shown != computed_members(before) or change.published.activated_at > written else None


def show_score(change: Change, at: datetime) -> dict[str, Any]:
    """The score, its ledger and the personas as answers show them."""
    known = change.score
    assert known is not None
    return {
        "as_of": rfc3339(at),
        "fit": known.fit,
        "engagement": known.engagement,
        "level": known.level,
        "temperature": known.temperature,
        "entries": [show_entry(entry, change.published.number) for entry in known.entries],
        "personas": [asdict(one) for one in persona_matches(change.published.policy, change.facts(), at)],
        "exception": change.lead.flags.get("icp_exception"),
    }


def wanted_identities(
    email: str | None, phone: str | None, external_id: str | None
) -> list[list[tuple[str, str, str]]]:
    """The identities that a list is filtered by, normalised: one list of (kind, namespace, value) for each filter.

    A namespace and a value may both contain colons, so an external id has one candidate for each colon.
    Raises RequestInvalid for a filter that is no identity.
    """
    wanted: list[list[tuple[str, str, str]]] = []
    for kind, typed in (("email", email), ("phone", phone)):
        if typed is not None:
            found = [one for one in normalize({kind: typed}, {}, None).identities if one.kind == kind]
            if not found:
                raise RequestInvalid.of(kind, f"{kind}_invalid", f"not a valid {kind}{plus_hint(typed)}")
            wanted.append([(kind, "", found[0].value)])
    if external_id is not None:
        named = [identity.key for identity in readings(external_id)]
        if not named:
            raise RequestInvalid.of("external_id", "external_id_invalid", "must have the form namespace:value")
        wanted.append(named)
    return wanted


async def timeline(tx: Tx, tenant_id: UUID, lead_id: UUID) -> list[dict[str, Any]]:
    """The latest thousand activities and all transitions, oldest first."""
    acted = await sql.latest_activities(tx, tenant_id, lead_id, TIMELINE)
    transitions = await sql.transitions_of(tx, tenant_id, lead_id)
    lines = [(row.occurred_at, 0, {"kind": "activity", "activity": show_activity(row, lead_id)}) for row in acted]
    lines += [
        (row.occurred_at, row.seq, {"kind": "transition", "transition": show_transition(row)}) for row in transitions
    ]
    return [{"at": rfc3339(at), **line} for at, _, line in sorted(lines, key=lambda line: line[:2])]
