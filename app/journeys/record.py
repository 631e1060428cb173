"""Write changes to leads, with their journeys, transitions and events, in one statement (decision 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.parts import Rows as Parts
from app.database.transaction import Tx
from app.events.record import NewEvent, minified
from app.journeys import sql
from app.journeys.clocks import run_rows, settle_clocks, write_clocks
from app.journeys.distribute import distribute
from app.journeys.give_way import give_way
from app.journeys.shown import computed_members, kept_members, replaced_members
from app.journeys.state import Change, Journey, Step
from app.journeys.write import Recording
from app.lifecycle.answer import Move
from app.lifecycle.clocks import shown
from app.matching.likeness import Subject
from app.policy.facts import Actor, Entry
from app.web.fields import rfc3339

Rows = dict[str, list[dict[str, Any]]]
TOGETHER: Final = 8  # leads whose rows are made at a time: in less than a millisecond


async def record(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    """Writes each change as a new version of its lead."""
    if (recording := await prepare(tx, tenant_id, changes)) is not None:
        await recording.write({})


async def prepare(
    tx: Tx, tenant_id: UUID, changes: Sequence[Change], more: Parts = MappingProxyType({})
) -> Recording | None:
    """Completes the changes: routes, clocks, rows and versions. None where there are none."""
    if not changes:
        return None
    await distribute(tx, tenant_id, changes)
    await settle_clocks(tx, tenant_id, changes)
    rows: Rows = {kind: [] for kind in sql.ROW_KINDS}
    for number, change in enumerate(changes, 1):
        _collect(rows, change)
        if number % TOGETHER == 0:
            await give_way()
    for change in changes:
        change.lead.version += 1
    return Recording(tx, tenant_id, changes, rows, more)


async def record_or_refresh(tx: Tx, tenant_id: UUID, changes: Sequence[Change]) -> None:
    """Records the changes that have an effect; of the others only what is cached, without a new version."""
    unchanged = [change for change in changes if not change.has_effect]
    await settle_clocks(tx, tenant_id, unchanged)
    await sql.refresh_scores(tx, tenant_id, [_score_row(change) for change in unchanged])
    await write_clocks(tx, tenant_id, unchanged)
    await record(tx, tenant_id, [change for change in changes if change.has_effect])


def _score_row(change: Change) -> dict[str, Any]:
    score = change.score
    assert score is not None, "evaluate the change before its score is stored"
    return {
        "id": change.lead.id,
        "fit": score.fit,
        "engagement": score.engagement,
        "level": score.level,
        "temperature": score.temperature,
        "below_threshold_since": change.lead.below_threshold_since,
        "threshold_met": change.lead.threshold_met,
        "evaluate_at": change.evaluate_at,
        "sla_state": _sla_state(change),
    }


def _sla_state(change: Change) -> str | None:
    run = shown(change.lead.clocks)
    return None if run is None else run.state(change.now)


def actor_document(actor: Actor) -> dict[str, Any]:
    """The actor as JSON in transitions and events."""
    return {"id": actor.id, "kind": actor.kind, "role": actor.role}


def milestones_document(
    reached: Iterable[tuple[str, bool]], voided: Iterable[str], at: datetime
) -> dict[str, list[Any]]:
    """What a step means for the milestones of a journey, as events tell it; `reached`: names, each with `skipped`."""
    told = [{"name": name, "reached_at": rfc3339(at), "skipped": skipped} for name, skipped in reached]
    return {"reached": told, "voided": list(voided)}


def transition_document(change: Change, step: Step) -> dict[str, Any]:
    """A transition as answers show it (api.md, section 4)."""
    move = step.move
    return {
        "id": ids.show("transition", step.id),
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": step.journey.number,
        "seq": step.seq,
        "from": move.from_stage,
        "to": move.to_stage,
        "action": move.action,
        "reason_code": move.reason_code,
        "note": move.note,
        "actor": actor_document(move.actor),
        "on_behalf_of": _on_behalf_of(change, step),
        "correction_of": move.correction_of,
        "occurred_at": rfc3339(move.occurred_at),
        "recorded_at": rfc3339(change.now),
        "policy_version": step.published.number,
        "evidence": _evidence(move),
    }


def _evidence(move: Move) -> dict[str, Any]:
    """The evidence of a move, with the score entries that its guard used."""
    if move.entries is None:
        return dict(move.evidence)
    return {**move.evidence, "entries": [entry_document(entry) for entry in move.entries]}


def entry_document(entry: Entry) -> dict[str, Any]:
    return {
        "ledger": entry.ledger,
        "rule_id": entry.rule_id,
        "activity_id": ids.shown("activity", entry.activity_id),
        "points": entry.points,
        "decayed_points": entry.decayed_points,
        "counts": entry.counts,
    }


def _on_behalf_of(change: Change, step: Step) -> Mapping[str, Any] | None:
    """The key that asserted the acting person; None for the policy's own steps, which have no person."""
    return change.on_behalf_of if step.move.actor.kind == "human" else None


def _collect(rows: Rows, change: Change) -> None:
    lead = change.lead
    lead.updated_at = change.now
    rows["created" if lead.new else "touched"].append(_lead_row(change))
    for journey in change.journeys:
        rows["opened" if journey.new else "moved"].append(_journey_row(change, journey))
    rows["steps"] += [_step_row(change, step) for step in change.steps]
    rows["milestones"] += [
        {
            "id": ids.new_id(),
            "journey_id": journey_id,
            "lead_id": lead.id,
            "name": name,
            "proof": proof,
            "reached_at": at,
            "recorded_at": change.now,
            "skipped": skipped,
        }
        for journey_id, name, proof, at, skipped in change.milestones
    ]
    _collect_activities_and_identities(rows, change)
    rows["runs"] += run_rows(change)
    rows["match_keys"] += [{"key": key, "lead_id": lead.id} for key in _new_match_keys(change)]
    _collect_consents_touches_and_bant(rows, change)
    before = _before(change)
    is_told = bool(change.steps or change.early_events or change.late_events)
    # Each version has an event or this row, which say when it was. Of a lead that one arrival makes, its touch says
    # where all fields came from.
    if before or not is_told or len(change.origins) > 1 or len(change.new_touches) > 1:
        row = {"lead_id": lead.id, "recorded_at": change.now, "actor": actor_document(change.actor)}
        rules = {"rules": change.loaded["rules"]} if change.loaded else {}
        rows["before"].append({**row, "before": {**rules, **before}, "origins": _origins(change)})
    _collect_events(rows, change)


def _new_match_keys(change: Change) -> list[str]:
    """The keys of likeness that the lead has got; old ones stay, since what is found by them is compared again."""
    if not (change.lead.new or change.new_identities or change.before.keys() & {"fields", "custom"}):
        return []
    lead = change.lead
    emails = [one.value for one in lead.identities if one.kind == "email" and not one.shared]
    return sorted(Subject.of(lead.fields, emails, lead.custom).keys)


def _before(change: Change) -> dict[str, Any]:
    """The old values of everything that the change replaces; a new lead has none."""
    if change.loaded is None:
        return {}
    return {**replaced_members(change.loaded, kept_members(change.lead)), **change.before}


def _origins(change: Change) -> list[dict[str, Any]] | None:
    return [
        {"fields": one.fields, "source_id": one.source_id, "submission_id": one.submission_id} for one in change.origins
    ] or None


def _collect_activities_and_identities(rows: Rows, change: Change) -> None:
    lead_id, now = change.lead.id, change.now
    rows["activities"] += [
        {
            "id": new.activity.id,
            "lead_id": lead_id,
            "activity_key": new.key,
            "type": new.activity.type,
            "kind": new.activity.kind,
            "occurred_at": new.activity.occurred_at,
            "recorded_at": now,
            "properties": new.properties,
            "actor": new.actor,
            "source_id": new.source_id,
        }
        for new in change.new_activities
    ]
    for identity in change.new_identities:
        row = {"kind": identity.kind, "value": identity.value, "lead_id": lead_id, "primary": identity.primary}
        if identity.shared:
            rows["shared"].append({**row, "added_at": now})
        else:
            rows["identities"].append({**row, "namespace": identity.namespace, "added_at": now})


def _collect_consents_touches_and_bant(rows: Rows, change: Change) -> None:
    lead_id, now = change.lead.id, change.now
    rows["consents"] += [
        {
            "id": new.id,
            "lead_id": lead_id,
            "purpose": new.purpose,
            "state": new.state,
            "text": new.text,
            "channel": new.channel,
            "source_id": new.source_id,
            "submission_id": new.submission_id,
            "bought": new.bought,
            "text_version": new.text_version,
            "client_address": new.client_address,
            "actor": new.actor or actor_document(change.actor),
            "confirmation_id": new.confirmation_id,
            "withdrawal_link_id": new.withdrawal_link_id,
            "occurred_at": new.occurred_at,
            "recorded_at": now,
        }
        for new in change.new_consents
    ]
    rows["touches"] += [
        {
            "id": new.id,
            "lead_id": lead_id,
            "source_id": new.source_id,
            "submission_id": new.submission_id,
            "attribution": new.attribution,
            "occurred_at": new.occurred_at,
            "recorded_at": now,
        }
        for new in change.new_touches
    ]
    rows["bant"] += [
        {
            "id": ids.new_id(),
            "lead_id": lead_id,
            "criterion": new.criterion,
            "status": new.status,
            "value": new.value,
            "evidence": new.evidence,
            "due_on": new.due_on,
            "amount": new.amount,
            "user_id": new.user_id,
            "role": new.role,
            "recorded_at": new.recorded_at,
        }
        for new in change.new_bant
    ]


def _lead_row(change: Change) -> dict[str, Any]:
    lead, journey, score = change.lead, change.lead.journey, change.score
    assert score is not None, "evaluate the change before it is recorded"
    return {
        "id": lead.id,
        "kind": lead.kind,
        "stage": journey.stage if journey else None,
        "stage_entered_at": journey.stage_entered_at if journey else None,
        "fields": lead.fields,
        "raw": lead.raw,
        "custom": lead.custom,
        "flags": lead.flags,
        "consents": lead.consents,
        "first_touch": lead.first_touch,
        "last_touch": lead.last_touch,
        "channel": lead.channel,
        "source_id": lead.source_id,
        "owner_id": lead.owner.id if lead.owner else None,
        "team": lead.team,
        "fit": score.fit,
        "engagement": score.engagement,
        "level": score.level,
        "temperature": score.temperature,
        "below_threshold_since": lead.below_threshold_since,
        "threshold_met": lead.threshold_met,
        "evaluate_at": change.evaluate_at,
        "sla_state": _sla_state(change),
        "account_id": lead.account_id,
        "contact_id": lead.contact_id,
        "opportunity_id": lead.opportunity_id,
        "merged_into": lead.merged_into,
        "created_at": lead.created_at,
        "updated_at": change.now,
    }


def _journey_row(change: Change, journey: Journey) -> dict[str, Any]:
    taken = sum(1 for step in change.steps if step.journey is journey)
    return {
        "id": journey.id,
        "lead_id": change.lead.id,
        "number": journey.number,
        "stage": journey.stage,
        "seq": journey.seq,
        "expected_seq": journey.seq - taken,
        "policy_id": journey.policy_id,
        "business": journey.business,
        "baseline_at": journey.baseline_at,
        "corrected_at": journey.corrected_at,
        "assigned_at": journey.assigned_at,
        "previous_owner_id": journey.previous_owner_id,
        "wake_at": journey.wake_at,
        "recycles": journey.recycles,
        "opened_at": journey.opened_at,
        "closed_at": journey.closed_at,
        "closing_reason": journey.closing_reason,
        "offer": None if journey.offer is None else asdict(journey.offer),
        "stage_entered_at": journey.stage_entered_at,
        "stalled_at": journey.stalled_at,
        "lapsed": journey.lapsed.document,
    }


def _step_row(change: Change, step: Step) -> dict[str, Any]:
    move = step.move
    return {
        "journey_id": step.journey.id,
        "seq": step.seq,
        "id": step.id,
        "lead_id": change.lead.id,
        "from_stage": move.from_stage,
        "to_stage": move.to_stage,
        "action": move.action,
        "reason_code": move.reason_code,
        "note": move.note,
        "actor": actor_document(move.actor),
        "on_behalf_of": _on_behalf_of(change, step),
        "correction_of": ids.read("transition", move.correction_of) if move.correction_of else None,
        "occurred_at": move.occurred_at,
        "recorded_at": change.now,
        "policy_id": step.published.id,
        "policy_version": step.published.number,
        "evidence": _evidence(move),
    }


def _collect_events(rows: Rows, change: Change) -> None:
    """Events in the order of lifecycle.md, section 10: early events, one for each transition, late events.

    The last one has what time alone changes, for all of them; what is null is left out.
    """
    lead_id, transaction = change.lead.id, ids.new_id()
    computed = {name: value for name, value in computed_members(change).items() if value is not None}
    events = [*change.early_events, *(_stage_changed(change, step) for step in change.steps), *change.late_events]
    for index, event in enumerate(events, 1):
        row = {
            "n": len(rows["events"]),
            "id": ids.new_id(),
            "lead_id": lead_id,
            "order_key": event.order_key or lead_id,
            "type": event.type,
            "occurred_at": event.occurred_at,
            "recorded_at": change.now,
            "tx_id": transaction,
            "tx_index": index,
            "tx_size": len(events),
            "data": minified(event.data),
            "lead_computed": computed if index == len(events) else None,
        }
        rows["events"].append(row)


def _stage_changed(change: Change, step: Step) -> NewEvent:
    shown = transition_document(change, step)
    names = (
        "lead_id",
        "journey_no",
        "seq",
        "from",
        "to",
        "action",
        "reason_code",
        "actor",
        "occurred_at",
        "recorded_at",
        "policy_version",
        "evidence",
    )
    data = {"transition_id": shown["id"], **{name: shown[name] for name in names}}
    used = step.score or change.score
    score = {"fit": used.fit, "engagement": used.engagement} if used else {}
    move, entered = step.move, step.published.policy.stage_of.get(step.move.to_stage)
    counted = {
        "journey_id": ids.show("journey", step.journey.id),
        "business": step.journey.business,
        "ends": entered is not None and entered.ends,
        **milestones_document(move.milestones, move.voids, move.occurred_at),
    }
    return NewEvent("lead.stage_changed", {**data, "score": score, **counted}, move.occurred_at)
