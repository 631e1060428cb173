"""BANT confirmations. Rows are only appended; a person's later row for a criterion replaces the earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.errors import HumanRequired
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import record_or_refresh
from app.journeys.shown import show_bant, show_confirmation
from app.journeys.state import Change
from app.leads.absorb import add_updated_event
from app.policy.facts import CRITERIA, Actor, Confirmation
from app.policy.words import latest
from app.web.auth import Caller


def confirmations_of(bant: Mapping[str, Any], actor: Actor, now: datetime) -> tuple[Confirmation, ...]:
    """The confirmations of a request as rows; none if the actor is a machine, because only people confirm BANT."""
    if actor.user_id is None:
        return ()
    return tuple(
        Confirmation(
            criterion=criterion,
            status=bant[criterion]["status"],
            user_id=actor.user_id,
            role=actor.role,
            recorded_at=now,
            value=bant[criterion].get("value"),
            evidence=bant[criterion].get("evidence"),
            due_on=bant[criterion].get("due_on"),
            amount=bant[criterion].get("amount"),
        )
        for criterion in CRITERIA
        if bant.get(criterion) is not None
    )


def show_confirmations(confirmations: Sequence[Confirmation], now: datetime) -> dict[str, Any]:
    """By criterion the latest confirmation, and the latest one of each user with its age in whole days."""
    rows = sorted(latest(tuple(confirmations)), key=lambda row: row.recorded_at, reverse=True)
    each: dict[str, list[dict[str, Any]]] = {criterion: [] for criterion in CRITERIA}
    for row in rows:
        each[row.criterion].append({**show_confirmation(row), "age_days": (now - row.recorded_at) // timedelta(days=1)})
    return {
        criterion: {**shown, "confirmations": each[criterion]}
        for criterion, shown in show_bant(list(confirmations)).items()
    }


async def confirm(
    tx: Tx, caller: Caller, lead_id: UUID, bant: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Change:
    """Appends the actor's confirmations and evaluates the lead. Raises HumanRequired for a machine."""
    if caller.actor.kind != "human":
        raise HumanRequired("Only a person may confirm BANT: send the id of a user in the Baton-Actor header.")
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    rows = confirmations_of(bant, caller.actor, now)
    change.lead.confirmations.extend(rows)
    change.new_bant.extend(rows)
    change.changed.extend(f"bant.{row.criterion}" for row in rows)
    add_updated_event(change)
    evaluate(change)
    await record_or_refresh(tx, caller.tenant_id, [change])
    return change
