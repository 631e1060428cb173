"""Propose a draft, and approve what is proposed: one person of marketing and one of sales (lifecycle.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import AlreadyApproved, StateConflict
from app.policies import sql, who
from app.policies.draft import audited, locked
from app.web.auth import Caller


async def propose(tx: Tx, caller: Caller, policy_id: UUID, expected: frozenset[str] | None, now: datetime) -> Record:
    """Makes a draft a proposed policy, which both sides can approve. Raises StateConflict if it is no draft."""
    row = await locked(tx, caller.tenant_id, policy_id, expected)
    who.check_author(caller.actor, "propose")
    if row.state != "draft":
        raise StateConflict(f"Only a draft can be proposed; this policy is {row.state}.")
    row = await sql.update_policy(tx, caller.tenant_id, policy_id, {"state": "proposed", "updated_at": now})
    await audited(tx, caller, "policy.proposed", row, now)
    return row


async def approve(tx: Tx, caller: Caller, policy_id: UUID, expected: frozenset[str] | None, now: datetime) -> Record:
    """Approves the present document of a proposed policy for the side of the acting person.

    Raises HumanRequired or RoleNotAllowed, StateConflict if it is not proposed, and AlreadyApproved where this side or
    this person has approved.
    """
    row = await locked(tx, caller.tenant_id, policy_id, expected)
    side, person = who.side_of(caller.actor), caller.actor.user_id
    assert person is not None, "a person has an id"
    if row.state != "proposed":
        hint = ": propose it first" if row.state == "draft" else ""
        raise StateConflict(f"Only a proposed policy can be approved; this one is {row.state}{hint}.")
    for known in await sql.approvals_of(tx, caller.tenant_id, policy_id):
        if known.side == side or known.user_id == person:
            raise _already(known, by_same_person=known.user_id == person)
    approval = {"side": side, "user_id": person, "role": caller.actor.role, "sha256": row.sha256, "approved_at": now}
    await sql.insert_approval(tx, caller.tenant_id, policy_id, approval)
    row = await sql.update_policy(tx, caller.tenant_id, policy_id, {"updated_at": now})
    await audited(tx, caller, "policy.approved", row, now, side=side, role=caller.actor.role)
    return row


def missing_sides(row: Record, approvals: Iterable[Record]) -> list[str]:
    """The sides that have not approved the present document; none of a shipped policy, which needs no approval."""
    given = {one.side for one in approvals if one.sha256 == row.sha256}
    return [] if row.origin == "shipped" else [side for side in who.SIDES if side not in given]


def _already(known: Record, *, by_same_person: bool) -> AlreadyApproved:
    user = ids.show("user", known.user_id)
    own = f"You have approved this policy already, for {known.side}; the other side is for another person."
    other = f"{known.side} has approved this policy already, by {user}."
    return AlreadyApproved(own if by_same_person else other, side=known.side, user_id=user)
