"""Activate a policy that both sides approved: at once, or at an instant to come (`due.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import ApprovalsMissing, MappingRequired, RequestInvalid, StateConflict, UnknownTeam
from app.events.record import NewEvent, record_events
from app.lifecycle.guard import MAX_AHEAD
from app.policies import sql, who
from app.policies.approve import missing_sides
from app.policies.documents import Document, named_teams, read_policy
from app.policies.draft import audited, locked
from app.policies.review import next_review
from app.policy.actions import Stage
from app.policy.document import Policy
from app.policy.fault import Fault, did_you_mean
from app.web.auth import Caller
from app.web.fields import rfc3339


async def activate(
    tx: Tx,
    caller: Caller,
    policy_id: UUID,
    effective_from: datetime | None,
    mapping: Mapping[str, str],
    expected: frozenset[str] | None,
    now: datetime,
) -> Record:
    """Activates a proposed policy now, or plans it for `effective_from`; asked again, the latest request counts.

    Raises StateConflict for a policy that was activated once, RequestInvalid for an instant in the past,
    RoleNotAllowed, and the problems of `ready`.
    """
    row = await locked(tx, caller.tenant_id, policy_id, expected)
    who.check_author(caller.actor, "activate")
    if row.state in ("active", "retired"):
        hint = ": create a draft from its document" if row.state == "retired" else ""
        raise StateConflict(f"The policy is {row.state} already{hint}.")
    if effective_from is not None and effective_from < now - MAX_AHEAD:
        raise RequestInvalid.of(
            "effective_from", "in_the_past", "must not be in the past; leave it out to activate at once"
        )
    policy = await ready(tx, caller.tenant_id, row, mapping)
    if effective_from is not None and effective_from > now:
        planned = {"effective_from": effective_from, "mapping": dict(mapping), "activation_refused": None}
        row = await sql.update_policy(tx, caller.tenant_id, policy_id, {**planned, "updated_at": now})
        await audited(tx, caller, "policy.planned", row, now, effective_from=rfc3339(effective_from), mapping=mapping)
        return row
    row = await take_effect(tx, caller.tenant_id, row, policy, mapping, now)
    await audited(tx, caller, "policy.activated", row, now, mapping=mapping)
    return row


async def ready(tx: Tx, tenant_id: UUID, row: Record, mapping: Mapping[str, str]) -> Policy:
    """The policy of a row that can become active.

    Raises ApprovalsMissing, UnknownTeam, RequestInvalid for a mapping that cannot be, MappingRequired for journeys that
    it leaves out, and PolicyHasFaults for a document that this release finds fault with.
    """
    if missing := missing_sides(row, await sql.approvals_of(tx, tenant_id, row.id)):
        hint = " Propose it first." if row.state == "draft" else ""
        raise ApprovalsMissing(f"Not approved by: {', '.join(missing)}.{hint}", missing=missing)
    document = read_policy(row.document)
    await _check_teams(tx, tenant_id, document)
    _check_mapping(document.policy, mapping, await sql.stages(tx, tenant_id, ["stages"]) if mapping else set())
    await sql.lock_captures(tx, tenant_id)
    standing = await sql.journeys_outside(tx, tenant_id, [stage.name for stage in document.policy.stages])
    if left := {stage: count for stage, count in standing.items() if stage not in mapping}:
        listed = ", ".join(f"{stage} ({count})" for stage, count in left.items())
        known = {stage["name"]: stage for stage in (await sql.active_policy(tx, tenant_id)).document["stages"]}
        proposed = {stage: _nearest(document.policy, known.get(stage, {})) for stage in left}
        raise MappingRequired(
            f"Journeys stand in stages that this policy lacks: {listed}. Give `mapping`, such as"
            f" {json.dumps(proposed)}.",
            stages=[{"stage": stage, "journeys": count} for stage, count in left.items()],
        )
    return document.policy


def _nearest(policy: Policy, stage: Mapping[str, Any]) -> str:
    """The stage to propose for journeys in a stage of the version before: of its kind, and not further than it was."""
    possible = _targets(policy)
    alike = [one for one in possible if one.kind == stage.get("kind")] or possible
    behind = [one for one in alike if one.order is not None and one.order <= (stage.get("order") or 0)]
    return max(behind, key=lambda one: one.order or 0, default=alike[0]).name


async def take_effect(
    tx: Tx, tenant_id: UUID, row: Record, policy: Policy, mapping: Mapping[str, str], now: datetime
) -> Record:
    """Makes the policy the active one and retires the one before, with the event; a tenant's first one has no event.

    All leads are scheduled for evaluation afterwards (`schedule.py`), where they also leave the stages of the mapping.
    """
    at = await sql.next_activation(tx, tenant_id, now)
    before = await sql.retire_active(tx, tenant_id, now)
    values = {
        "state": "active",
        "activated_at": at,
        "effective_from": min(row.effective_from or at, at),
        "mapping": dict(mapping) or None,
        "activation_refused": None,
        "review_due_at": next_review(policy.review, at, at),
        "updated_at": now,
    }
    active = await sql.update_policy(tx, tenant_id, row.id, values)
    await sql.insert_activation(tx, tenant_id, row.id, at)
    if before is not None:
        told = {"previous_policy_id": ids.show("policy", before), "activated_at": rfc3339(at)}
        await record_events(tx, tenant_id, [policy_event("policy.activated", active, told, now)], now)
    return active


def policy_event(type_: str, row: Record, data: Mapping[str, Any], now: datetime) -> NewEvent:
    """An event about a policy; those of one policy are sent in their order."""
    named = {"policy_id": ids.show("policy", row.id), "policy_version": row.number, "name": row.name}
    return NewEvent(type_, {**named, **data}, now, order_key=row.id)


async def _check_teams(tx: Tx, tenant_id: UUID, document: Document) -> None:
    named = list(named_teams(document.stored["routing"], "/routing"))
    known = await sql.teams(tx, tenant_id) if named else set()
    wrong = [Fault(place, UnknownTeam.code, _no_team(team)).entry for place, team in named if team not in known]
    if wrong:
        listed = ", ".join(f"`{team}`" for _, team in named if team not in known)
        teams = ", ".join(sorted(known)) or "none"
        raise UnknownTeam(f"No active user belongs to {listed}; teams are: {teams}.", errors=wrong)


def _no_team(team: str) -> str:
    return f"no active user belongs to the team `{team}`"


def _targets(policy: Policy) -> list[Stage]:
    """The stages that a mapping can lead to, the open ones first and in their order."""
    found = [stage for stage in policy.stages if stage.kind in ("open", "parked")]
    return sorted(found, key=lambda stage: (stage.kind != "open", stage.order or 0))


def _check_mapping(policy: Policy, mapping: Mapping[str, str], known: set[str]) -> None:
    """A mapping leads from stages of other versions to the policy's open or parked ones: closing takes an action."""
    targets = [stage.name for stage in _targets(policy)]
    for source, target in mapping.items():
        if source in policy.stage_of:
            raise RequestInvalid.of(
                f"mapping.{source}", "stage_exists", "this policy has the stage, so journeys stay in it"
            )
        if source not in known:
            detail = f"no version of the policy has a stage `{source}`{did_you_mean(source, known)}"
            raise RequestInvalid.of(f"mapping.{source}", "stage_unknown", detail)
        if target not in targets:
            hint = did_you_mean(target, targets)
            detail = f"`{target}` is no open or parked stage of this policy; those are {', '.join(targets)}{hint}"
            raise RequestInvalid.of(f"mapping.{source}", "stage_unknown", detail)
