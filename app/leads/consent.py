"""Consent given, refused or withdrawn outside a form: one more line of the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app import ids
from app.auth import Caller
from app.database import Tx
from app.events.record import NewEvent
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import record
from app.journeys.state import Change, NewConsent
from app.leads.schemas import ConsentIn

CHANNEL = "api"


async def put_consents(
    tx: Tx, caller: Caller, lead_id: UUID, said: Sequence[ConsentIn], expected: frozenset[str] | None, now: datetime
) -> Change:
    """Appends to the log of consent; the latest word on each purpose counts."""
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    changed = {one.purpose: one.state for one in said if change.lead.consents.get(one.purpose) != one.state}
    change.new_consents += [NewConsent(one.purpose, one.state, now, one.text, CHANNEL) for one in said]
    change.lead.consents.update({one.purpose: one.state for one in said})
    if changed:
        data = {"lead_id": ids.show("lead", lead_id), "consents": changed}
        change.early_events.append(NewEvent("lead.consent_changed", data, now))
    evaluate(change)
    await record(tx, caller.tenant_id, [change])
    return change
