"""Reverts a conversion: the journey goes back, and what only the conversion made and nobody uses is archived.

The lead is locked first, then its records, so that a change of them or another revert comes before or after this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app import ids
from app.conversion import revert_sql
from app.conversion.problems import ConversionReverted
from app.conversion.undo import LINKS, Kept, Undo, undo_of
from app.database.transaction import ChangedMeanwhile, Record, Tx
from app.errors import ConversionNotFound, LeadMerged, RevertBlocked
from app.events.record import NewEvent, record_events
from app.journeys.apply import apply_move
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change, read_lead
from app.journeys.owner import active_owner
from app.journeys.record import record, transition_document
from app.journeys.refusals import problem
from app.journeys.state import Change, Step
from app.lifecycle.answer import Move, Refused
from app.lifecycle.decide import decide
from app.lifecycle.edges import taken_by
from app.pipeline import sql
from app.pipeline.kinds import ACCOUNT, CONTACT, KEY_NAMES, OPPORTUNITY, Kind
from app.pipeline.steps import updated_event
from app.policy.facts import Ask
from app.problem import Problem
from app.scoring.score import score, with_score
from app.web import versions
from app.web.auth import Caller
from app.web.fields import rfc3339


@dataclass(frozen=True, slots=True)
class RevertRequest:
    """Why and when a conversion is taken back. `strict`: refuse, unless everything can be taken back."""

    reason_code: str | None = None
    note: str | None = None
    occurred_at: datetime | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Reverted:
    """The lead after the revert, the transition, the conversion, and what became of its records."""

    change: Change
    transition: Mapping[str, Any]
    conversion: Mapping[str, Any]
    undone: Mapping[str, Any]


async def revert(
    tx: Tx, caller: Caller, lead_id: UUID, request: RevertRequest, expected: frozenset[str] | None, now: datetime
) -> Reverted:
    """Takes back the conversion of the lead's journey. A refused request writes nothing.

    Raises the problems of `begin_change`, ConversionReverted where that was done before, the problem of a refusal by
    the policy, and RevertBlocked if it is strict and something would be left in place.
    """
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    kept = await _kept(tx, change, caller.tenant_id, lock=True)
    decided = _decide(change, kept, caller, request, now)
    if kept is None and (reverted := await _reverted_before(tx, change, caller.tenant_id)) is not None:
        raise reverted
    if isinstance(decided, Refused):
        raise problem(decided.why)
    if kept is None:
        raise ConversionNotFound()
    undo = undo_of(kept)
    if (blocked := _blocked(undo, request)) is not None:
        raise blocked
    step = await _apply(tx, caller, change, kept, decided)
    archived = await _write(tx, caller, kept, undo, now)
    _tell(change, kept, undo, step)
    evaluate(change)
    await record(tx, caller.tenant_id, [change])
    await record_events(tx, caller.tenant_id, archived, now)
    transition = transition_document(change, step)
    return Reverted(change, transition, _reverted(kept, now), undo.shown(kept))


async def preview_revert(
    tx: Tx, caller: Caller, lead_id: UUID, request: RevertRequest, expected: frozenset[str] | None, now: datetime
) -> dict[str, Any]:
    """What the revert would do, and every problem that prevents it. Writes nothing.

    Raises the problems of `begin_change`.
    """
    change = await read_lead(tx, caller.tenant_id, lead_id, now)
    if change.lead.id != lead_id:
        raise LeadMerged(merged_into=ids.show("lead", change.lead.id))
    versions.check(expected, change.lead.version)
    kept = await _kept(tx, change, caller.tenant_id, lock=False)
    decided = _decide(change, kept, caller, request, now)
    undo = undo_of(kept) if kept is not None else Undo()
    reverted = await _reverted_before(tx, change, caller.tenant_id) if kept is None else None
    refused = problem(decided.why) if isinstance(decided, Refused) else None
    problems = [one for one in (reverted or refused,) if one is not None]
    if (blocked := _blocked(undo, request)) is not None:
        problems.append(blocked)
    return {
        "possible": not problems,
        "blocked": [{"code": one.code, "status": one.status, "detail": one.detail, **one.members} for one in problems],
        "to": decided.to_stage if isinstance(decided, Move) else None,
        "voids": list(decided.voids) if isinstance(decided, Move) else [],
        **(undo.shown(kept) if kept is not None else {"archived": [], "emptied": [], "left_in_place": []}),
    }


async def _kept(tx: Tx, change: Change, tenant_id: UUID, *, lock: bool) -> Kept | None:
    """The conversion of the lead's journey with its records as they are now; None where it has none."""
    journey = change.lead.journey
    conversion = await revert_sql.conversion_of(tx, tenant_id, journey.id) if journey else None
    if conversion is None:
        return None
    rows = await revert_sql.records_of(tx, tenant_id, conversion, lock=lock)
    others = await revert_sql.others_of(tx, tenant_id, conversion)
    replaced = conversion.replaced
    taken = {
        kind.name: await _taken(tx, tenant_id, kind, rows[kind.name], replaced[kind.name])
        for kind in (ACCOUNT, CONTACT)
        if replaced and kind.name in rows
    }
    return Kept(conversion.id, conversion.lead_id, conversion.answer, replaced, rows, others, taken)


async def _reverted_before(tx: Tx, change: Change, tenant_id: UUID) -> Problem | None:
    """The problem of a journey whose conversion was reverted, and that has no other one."""
    journey = change.lead.journey
    row = await revert_sql.last_reverted(tx, tenant_id, change.lead.id, journey.id) if journey else None
    if row is None:
        return None
    conversion_id, at = ids.show("conversion", row.id), rfc3339(row.reverted_at)
    detail = f"The conversion {conversion_id} was reverted already, at {at}."
    return ConversionReverted(detail, conversion_id=conversion_id, reverted_at=at)


async def _taken(
    tx: Tx, tenant_id: UUID, kind: Kind, row: Mapping[str, Any], replaced: Mapping[str, list[Any]]
) -> set[str]:
    """The fields whose old value is the key of another live record by now."""
    old = {key: replaced[key][0] for key in kind.keys if key in replaced}
    holders = await sql.holders(tx, tenant_id, kind, old, but=UUID(row["id"]))
    return {KEY_NAMES.get(key, key) for key, value in old.items() if any(one._mapping[key] == value for one in holders)}


def _decide(change: Change, kept: Kept | None, caller: Caller, request: RevertRequest, now: datetime) -> Move | Refused:
    policy, facts = change.published.policy, change.facts()
    change.score = score(policy, facts, now)
    if kept is not None and OPPORTUNITY.name in kept.rows:
        facts = replace(facts, opportunity_class=kept.rows[OPPORTUNITY.name]["class"])
    ask = Ask(
        taken_by(policy, "revert", facts.stage),
        caller.actor,
        occurred_at=request.occurred_at,
        reason_code=request.reason_code,
        note=request.note,
        endpoint="revert",
    )
    decided = decide(policy, with_score(facts, change.score), ask, now)
    assert isinstance(decided, Move | Refused), "a revert moves the lead"
    return decided


def _blocked(undo: Undo, request: RevertRequest) -> Problem | None:
    """The problem of a strict request where something would be left in place."""
    return RevertBlocked(left_in_place=undo.left) if request.strict and undo.left else None


async def _apply(tx: Tx, caller: Caller, change: Change, kept: Kept, move: Move) -> Step:
    """Moves the journey back, and gives the lead the links that it had before the conversion."""
    owner = await active_owner(tx, caller.tenant_id, move.owner) if isinstance(move.owner, UUID) else None
    evidence = {**move.evidence, "conversion_id": ids.show("conversion", kept.id)}
    step = apply_move(change, replace(move, evidence=evidence), owner)
    lead, replaced = change.lead, (kept.replaced or {}).get("links", {})
    for name in LINKS:
        row = kept.rows.get(name.removesuffix("_id"))
        if row is not None and str(getattr(lead, name)) == row["id"]:
            old = replaced[name][0] if name in replaced else None
            setattr(lead, name, UUID(old) if old else None)
    lead.opportunity_class = await revert_sql.class_of(tx, caller.tenant_id, lead.opportunity_id)
    return step


async def _write(tx: Tx, caller: Caller, kept: Kept, undo: Undo, now: datetime) -> list[NewEvent]:
    """Archives and changes the records, and ends the conversion; the event of an archived opportunity.

    Raises ChangedMeanwhile where a concurrent transaction has taken a key that a record gets back.
    """
    told: list[NewEvent] = []
    await revert_sql.end_conversion(tx, caller.tenant_id, kept.id, now)
    for kind in undo.archived:
        after = await _update(tx, caller.tenant_id, kind, kept, {"archived_at": now}, now)
        if kind is OPPORTUNITY:
            before = {**after._mapping, "version": after.version - 1, "archived_at": None}
            told += [event] if (event := updated_event(before, after._mapping, caller, now)) else []
    try:
        for kind in (ACCOUNT, CONTACT):
            if kind.name in undo.columns:
                await _update(tx, caller.tenant_id, kind, kept, undo.columns[kind.name], now)
    except IntegrityError:
        raise ChangedMeanwhile("another record has taken a key") from None
    return told


async def _update(tx: Tx, tenant_id: UUID, kind: Kind, kept: Kept, columns: Mapping[str, Any], now: datetime) -> Record:
    record_id = UUID(kept.rows[kind.name]["id"])
    return await sql.update_record(tx, tenant_id, kind, record_id, {**columns, "updated_at": now})


def _tell(change: Change, kept: Kept, undo: Undo, step: Step) -> None:
    data = {
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": step.journey.number,
        "conversion": _reverted(kept, change.now),
        "transition_id": ids.show("transition", step.id),
        "reason_code": step.move.reason_code,
        **undo.shown(kept),
    }
    change.late_events.append(NewEvent("lead.conversion_reverted", data, step.move.occurred_at))


def _reverted(kept: Kept, now: datetime) -> dict[str, Any]:
    return {**kept.answer, "reverted_at": rfc3339(now)}
