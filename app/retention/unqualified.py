"""Erases leads that never qualified and in which nobody has taken an interest for a time (docs/retention.md)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.erasure import sql as erasure_sql
from app.erasure.erase import address_hashes, erase_person, lock_person
from app.leads.consent_sql import keep_withdrawals
from app.policies.published import active_policy
from app.retention import unqualified_sql as sql
from app.tenants import audit

REASON: Final = "retention"
WORKER: Final = {"id": None, "kind": "service", "role": "service"}
START: Final = ("-infinity", str(UUID(int=0)))


async def erase_next(
    tx: Tx, tenant_id: UUID, before: datetime, now: datetime, after: Sequence[str] | None
) -> tuple[int, Sequence[str] | None]:
    """Looks through the next leads in the order of their creation, and erases the first whose time is over.

    How many were erased, 0 or 1, and where the search goes on; None where no lead is left.
    """
    found = await sql.find_next(tx, tenant_id, before, after or START)
    if found is None:
        return 0, None
    erased = 0 if found.due_id is None else int(await _erase(tx, tenant_id, found.due_id, before, now))
    return erased, (found.created_at, str(found.last_id))


async def _erase(tx: Tx, tenant_id: UUID, lead_id: UUID, before: datetime, now: datetime) -> bool:
    """Whether it was erased: it was not if somebody has taken an interest, or it was merged, before it was locked."""
    person = await lock_person(tx, tenant_id, lead_id)
    found = await sql.still_due(tx, tenant_id, lead_id, before)
    if found is None:
        return False
    blocked = await _is_blocked(tx, tenant_id, found.closing_reason)
    if not blocked:
        refused = await sql.refusals(tx, tenant_id, lead_id)
        kept: list[dict[str, Any]] = [
            {**row, "address_sha256": one} for one in address_hashes(person) for row in refused
        ]
        await keep_withdrawals(tx, tenant_id, kept, now)
    await erase_person(tx, tenant_id, person, now, suppress=blocked)
    values = {"ids": list(person.people), "reason": REASON, "request_id": None, "now": now}
    await erasure_sql.insert(tx, tenant_id, {**values, "lead_id": lead_id, "sought": None, "finished_at": now})
    detail = {"reason": REASON, "request_id": None}
    await audit.record_by(tx, WORKER, tenant_id, "lead.erased", ids.show("lead", lead_id), now, detail)
    return True


async def _is_blocked(tx: Tx, tenant_id: UUID, closing_reason: str | None) -> bool:
    """Whether the policy blocks the person for good: who is blocked stays unwelcome after the erasure."""
    if closing_reason is None:
        return False
    policy = (await active_policy(tx, tenant_id)).policy
    return policy.reinquiry.disqualified_permanent == "block" and closing_reason in policy.permanent_reasons
