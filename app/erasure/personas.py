"""Which personas a person matched, kept in place of the title and all else that they are about: reports count them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from app.database.transaction import Record, Tx
from app.erasure import sql
from app.leads.personas_then import READ, personas_then
from app.policies.published import published_policy

Names = Mapping[str, list[str]]  # by the id of the policy


async def personas_of(
    tx: Tx, tenant_id: UUID, people: Sequence[UUID], changes: Sequence[Record], now: datetime
) -> dict[tuple[UUID, int | None], Names]:
    """By lead what it matches now (None), and by version what it matched before a change that personas depend on.

    `changes`: those of the leads, latest first.
    """
    policies = {
        str(one): policy
        for one in await sql.activated(tx, tenant_id)
        if (policy := (await published_policy(tx, tenant_id, one)).policy).personas
    }
    found: dict[tuple[UUID, int | None], Names] = {}
    for row in await sql.read(tx, tenant_id, sql.PROFILES, people):
        undone = []
        found[row.id, None] = {one: personas_then(policy, row, (), now) for one, policy in policies.items()}
        for change in (one for one in changes if one.lead_id == row.id):
            undone.append(change.before)
            if READ & change.before.keys():
                found[row.id, change.version] = {
                    one: personas_then(policy, row, undone, change.recorded_at) for one, policy in policies.items()
                }
    return found
