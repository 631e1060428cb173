"""BANT: what a person confirmed. Rows are appended; a later row of the same person replaces his earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.errors import HumanRequired
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import settle
from app.journeys.state import Change
from app.leads.absorb import tell_updated
from app.policy.facts import CRITERIA, Actor, Confirmation
from app.web.auth import Caller


def confirmations_of(said: Mapping[str, Any], actor: Actor, now: datetime) -> tuple[Confirmation, ...]:
    """What one person says in a request, as rows; nothing where a machine speaks, for it can confirm nothing."""
    if actor.user_id is None:
        return ()
    return tuple(
        Confirmation(
            criterion=criterion,
            status=said[criterion]["status"],
            user_id=actor.user_id,
            role=actor.role,
            recorded_at=now,
            value=said[criterion].get("value"),
            evidence=said[criterion].get("evidence"),
            due_on=said[criterion].get("due_on"),
            amount=said[criterion].get("amount"),
        )
        for criterion in CRITERIA
        if said.get(criterion) is not None
    )


async def confirm(
    tx: Tx, caller: Caller, lead_id: UUID, said: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Change:
    """Appends what the acting person says, and lets the policy go on from there. HumanRequired for a machine."""
    if caller.actor.kind != "human":
        raise HumanRequired("Only a person confirms: name one in Baton-Actor.")
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    rows = confirmations_of(said, caller.actor, now)
    change.lead.confirmations.extend(rows)
    change.new_bant.extend(rows)
    change.changed.extend(f"bant.{row.criterion}" for row in rows)
    tell_updated(change)
    evaluate(change)
    await settle(tx, caller.tenant_id, [change])
    return change
