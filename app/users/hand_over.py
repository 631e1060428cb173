"""Deactivate a user, and give the open leads and opportunities to another user or to the pool, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from app.database.transaction import ChangedMeanwhile, Record, Tx
from app.errors import RequestInvalid
from app.events.record import record_events
from app.journeys import routing_sql
from app.journeys.apply import reassign
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_changes
from app.journeys.owner import named_owner, owner_invalid
from app.journeys.record import record
from app.journeys.state import Change, Owner
from app.pipeline.steps import updated_event
from app.tenants.users import change_user
from app.users import sql
from app.web.auth import Caller

BATCH: Final = 200
MOST_LEADS: Final = 5_000  # as many as one transaction can move within its time limit

HandTo = Literal["pool"] | UUID | None


@dataclass(frozen=True, slots=True)
class Work:
    """How many open leads and opportunities a user owned, and who has them now; None: still the user."""

    leads: int
    opportunities: int
    handed_to: HandTo

    @property
    def is_moved(self) -> bool:
        """Whether anything has another owner now."""
        return self.handed_to is not None and self.leads + self.opportunities > 0


async def deactivate(
    tx: Tx,
    caller: Caller,
    user_id: UUID,
    values: Mapping[str, Any],
    hand_to: HandTo,
    expected: frozenset[str] | None,
    now: datetime,
) -> tuple[Record, Work]:
    """Returns the changed user and what the user owned. Raises OwnerInvalid for `hand_to`, and as `change_user`.

    All leads are locked first, then the users, then rings where a lead has to be routed, as in every transaction.
    """
    tenant_id = caller.tenant_id
    row = await change_user(tx, tenant_id, user_id, values, expected, now)
    if hand_to == user_id:
        raise owner_invalid("hand_to")
    named = hand_to if isinstance(hand_to, UUID) else None
    owner = await named_owner(tx, tenant_id, named, "hand_to")
    if hand_to is not None and (leads := await sql.count_open_leads(tx, tenant_id, user_id)) > MOST_LEADS:
        detail = f"the user owns {leads} open leads; one request hands over at most {MOST_LEADS}"
        raise RequestInvalid.of("hand_to", "too_many_leads", detail)
    locked = await sql.lock_open_leads(tx, tenant_id, user_id) if hand_to else ()
    await routing_sql.lock_staff(tx, tenant_id, to_change=True)
    if hand_to is None:
        leads = await sql.count_open_leads(tx, tenant_id, user_id)
        return row, Work(leads, await sql.count_open_opportunities(tx, tenant_id, user_id), None)
    if await sql.count_open_leads(tx, tenant_id, user_id, but=locked):
        raise ChangedMeanwhile("a route gave the user a lead before the users were locked")
    handed = await _hand_leads(tx, caller, user_id, row.role, owner, now)
    opportunities = await sql.move_opportunities(tx, tenant_id, user_id, named, now)
    before = [{**one._mapping, "owner_id": user_id} for one in opportunities]
    told = [updated_event(*pair, caller, now) for pair in zip(before, opportunities, strict=True)]
    await record_events(tx, tenant_id, [event for event in told if event is not None], now)
    return row, Work(handed, len(opportunities), hand_to)


async def _hand_leads(tx: Tx, caller: Caller, user_id: UUID, role: str, owner: Owner | None, now: datetime) -> int:
    """Moves the leads in batches of ascending id, the order of all locks on leads; how many."""
    after, handed = UUID(int=0), 0
    while lead_ids := await sql.open_leads(tx, caller.tenant_id, user_id, after, BATCH):
        changes = list((await begin_changes(tx, caller.tenant_id, lead_ids, now, caller.actor)).values())
        moved = [change for change in changes if change.lead.owner is not None and change.lead.owner.id == user_id]
        for change in moved:
            change.on_behalf_of = caller.on_behalf_of
            reassign(change, owner, None if owner else _pool(change, role))
            evaluate(change)
        await record(tx, caller.tenant_id, moved)
        after, handed = lead_ids[-1], handed + len(moved)
    return handed


def _pool(change: Change, role: str) -> str | None:
    """The role whose pool gets the lead: that of the user if leads are routed to it, else the first one."""
    policy = change.published.policy
    return role if role in policy.role_of_route.values() else policy.first_role
