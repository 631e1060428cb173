"""Why somebody who acts too late does not have the lead any more.

The condition `owner` of such an action says only that somebody else has it, or nobody. Here `reason` is added to what
is unmet: a partner did not accept the lead in time, or a clock ran out that takes it from its owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys import routing_sql
from app.journeys.state import Change
from app.policy.facts import Actor
from app.policy.view import Unmet
from app.web.fields import rfc3339

LOOKED_AT: Final = 20  # the latest choices of routes


async def with_reason(
    tx: Tx, tenant_id: UUID, change: Change, actor: Actor, unmet: Sequence[Unmet]
) -> tuple[Unmet, ...]:
    """What is unmet; about the owner also why the lead was taken from the actor, if it was."""
    if change.lead.journey is None or actor.user_id is None or all(one["criterion"] != "owner" for one in unmet):
        return tuple(unmet)
    rows = await routing_sql.assignments_of(tx, tenant_id, change.lead.journey.id, LOOKED_AT)
    why = (
        _not_accepted(change, actor, [row.document for row in rows if row.voided_at is None])
        or _breached(change, actor)
        or {}
    )
    return tuple({**one, **why} if one["criterion"] == "owner" else one for one in unmet)


def _not_accepted(change: Change, actor: Actor, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """That the lead was offered to the partner in vain; `choices`: newest first."""
    own = next((n for n, one in enumerate(choices) if _is_for(one, actor)), None)
    if own is None:
        return None
    expired = change.routing is not None and change.routing.expired is not None  # in this transaction
    if not (choices[own - 1]["not_accepted_in_time"] if own else expired):
        return None
    return {"reason": "not_accepted_in_time", "accept_by": choices[own]["accept_by"]}


def _is_for(choice: Mapping[str, Any], actor: Actor) -> bool:
    if choice["owner_id"] is not None:
        return bool(choice["owner_id"] == ids.shown("user", actor.user_id))
    return choice["accept_by"] is not None and choice["team"] == actor.team


def _breached(change: Change, actor: Actor) -> dict[str, Any] | None:
    """That a clock ran out while the actor had the lead, by which it goes to somebody else."""
    clocks = change.published.policy.clocks
    late = [one for one in change.lead.clocks if one.breached_at is not None and one.breached_owner_id == actor.user_id]
    taking = [one for one in late if one.clock in clocks and any(do.assign for do in clocks[one.clock].on_breach)]
    run = max(taking, key=lambda one: one.started_at, default=None)
    if run is None:
        return None
    return {"reason": "clock_breached", "clock": run.clock, "due_at": rfc3339(run.due_at)}
