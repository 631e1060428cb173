"""Set and take back the exception by which a lead counts as in the ideal customer profile although it does not fit.

It is a flag of the lead, so that lead_changes keeps who changed it and what it was before (docs/decisions/0048).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.errors import HumanRequired, RequestInvalid, RoleNotAllowed
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import record_or_refresh
from app.journeys.state import Change
from app.leads.absorb import add_updated_event, mark_changed, set_flag
from app.policy.words import may
from app.tenants import audit
from app.tenants.acts import Act
from app.web.auth import Caller
from app.web.fields import rfc3339

FLAG: Final = "icp_exception"
ROLES: Final = ("marketing", "manager")
WHAT: Final = "set or take back an exception"


async def set_exception(
    tx: Tx,
    caller: Caller,
    lead_id: UUID,
    reason: str,
    persona: str | None,
    expected: frozenset[str] | None,
    now: datetime,
) -> Change:
    """Sets the exception, in place of an earlier one; nothing changes if that says the same.

    Raises HumanRequired or RoleNotAllowed, and RequestInvalid for a persona that the policy of the lead does not have.
    """
    change = await _begin(tx, caller, lead_id, expected, now)
    known = change.published.policy.persona_conditions
    if persona is not None and persona not in known:
        there = f"its personas are {', '.join(known)}" if known else "it has no personas"
        detail = f"the policy of the lead has no persona `{persona}`; {there}"
        raise RequestInvalid.of("persona", "persona_unknown", detail)
    before = change.lead.flags.get(FLAG) or {}
    if (before.get("reason"), before.get("persona")) != (reason, persona):
        who = {"set_by": caller.actor.id, "set_by_role": caller.actor.role, "set_at": rfc3339(now)}
        await _write(tx, caller, change, {"reason": reason, "persona": persona, **who})
    return await _evaluated(tx, caller, change)


async def take_back_exception(
    tx: Tx, caller: Caller, lead_id: UUID, expected: frozenset[str] | None, now: datetime
) -> Change:
    """Takes the exception back, if there is one. Raises HumanRequired or RoleNotAllowed."""
    change = await _begin(tx, caller, lead_id, expected, now)
    if change.lead.flags.get(FLAG) is not None:
        await _write(tx, caller, change, None)
    return await _evaluated(tx, caller, change)


async def _begin(tx: Tx, caller: Caller, lead_id: UUID, expected: frozenset[str] | None, now: datetime) -> Change:
    actor = caller.actor
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    if actor.kind != "human":
        raise HumanRequired(f"Only a person may {WHAT}: send the id of a user in the Baton-Actor header.")
    if not may(actor.role, ROLES):
        detail = f"The role {actor.role} may not {WHAT}; allowed roles: {', '.join(ROLES)}."
        raise RoleNotAllowed(detail, action=FLAG, role=actor.role, roles=ROLES)
    return change


async def _write(tx: Tx, caller: Caller, change: Change, exception: Mapping[str, Any] | None) -> None:
    before = change.lead.flags.get(FLAG)
    set_flag(change, FLAG, exception)
    mark_changed(change, FLAG)
    add_updated_event(change)
    act: Act = "lead.exception_set" if exception else "lead.exception_taken_back"
    lead_id = ids.show("lead", change.lead.id)
    # Without the reason, a free text that may name the person: an audit row cannot be erased.
    told = {name: value for name, value in (exception or before or {}).items() if name != "reason"}
    await audit.record(tx, caller, caller.tenant_id, act, lead_id, change.now, told)


async def _evaluated(tx: Tx, caller: Caller, change: Change) -> Change:
    evaluate(change)
    await record_or_refresh(tx, caller.tenant_id, [change])
    return change
