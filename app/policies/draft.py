"""Write a policy: create a draft, replace its document, delete it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import PolicyNotFound, StateConflict
from app.policies import sql, who
from app.policies.documents import read_policy
from app.tenants import audit
from app.tenants.acts import Act
from app.web import versions
from app.web.auth import Caller


async def create_draft(tx: Tx, caller: Caller, data: Mapping[str, Any], now: datetime) -> Record:
    """Stores a document as the tenant's next version. Raises PolicyHasFaults, or RoleNotAllowed."""
    who.check_author(caller.actor, "write")
    document = read_policy(data)
    await sql.lock_policies(tx, caller.tenant_id)
    made = {"id": ids.new_id(), "state": "draft", "origin": "own", "created_at": now, "updated_at": now}
    row = await sql.insert_policy(tx, caller.tenant_id, {**made, **document.columns})
    await audited(tx, caller, "policy.created", row, now)
    return row


async def edit(
    tx: Tx, caller: Caller, policy_id: UUID, data: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Record:
    """Replaces the document of a draft or a proposed policy, which is a draft then, without approvals.

    The same document again changes nothing. Raises the problems of `create_draft` and `locked`, and StateConflict for a
    policy that was activated once.
    """
    row = await locked(tx, caller.tenant_id, policy_id, expected)
    who.check_author(caller.actor, "write")
    document = read_policy(data)
    if row.state not in ("draft", "proposed"):
        raise StateConflict(f"The policy is {row.state} and stays as it is: create a draft from its document.")
    if document.sha256 == row.sha256:
        return row
    await sql.delete_approvals(tx, caller.tenant_id, policy_id)
    values = {"state": "draft", "effective_from": None, "mapping": None, "activation_refused": None, "updated_at": now}
    row = await sql.update_policy(tx, caller.tenant_id, policy_id, {**values, **document.columns})
    await audited(tx, caller, "policy.changed", row, now)
    return row


async def delete(tx: Tx, caller: Caller, policy_id: UUID, expected: frozenset[str] | None, now: datetime) -> None:
    """Deletes a draft for good. Raises the problems of `locked`, StateConflict for other states, or RoleNotAllowed."""
    row = await locked(tx, caller.tenant_id, policy_id, expected)
    who.check_author(caller.actor, "delete")
    if row.state != "draft":
        hint = ": change its document, which makes it a draft" if row.state == "proposed" else ""
        raise StateConflict(f"Only a draft can be deleted; this policy is {row.state}{hint}.")
    await sql.delete_policy(tx, caller.tenant_id, policy_id)
    await audited(tx, caller, "policy.deleted", row, now)


async def locked(tx: Tx, tenant_id: UUID, policy_id: UUID, expected: frozenset[str] | None = None) -> Record:
    """The policy, with all policies of the tenant locked. Raises PolicyNotFound, or VersionConflict."""
    await sql.lock_policies(tx, tenant_id)
    row = await sql.policy(tx, tenant_id, policy_id)
    if row is None:
        raise PolicyNotFound()
    versions.check(expected, row.version)
    return row


async def audited(tx: Tx, caller: Caller, act: Act, row: Record, now: datetime, **detail: Any) -> None:
    """Writes the audit row of something that was done with a policy; it has the hash of the document."""
    subject, told = ids.show("policy", row.id), {"number": row.number, "sha256": row.sha256, **detail}
    await audit.record(tx, caller, caller.tenant_id, act, subject, now, told)
