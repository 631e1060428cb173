"""SQL of policies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update

from app.database.tables import activations, policies
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

SCHEDULE_EVALUATION = text("UPDATE leads SET evaluate_at = :now WHERE tenant_id = :tenant_id AND stage IS NOT NULL")
STAGES = text(
    "SELECT DISTINCT stage ->> 'name' FROM policies"
    " CROSS JOIN jsonb_array_elements(document #> CAST(:path AS text[])) AS stage WHERE tenant_id = :tenant_id"
)
ACTIVE_ID = text("SELECT id FROM policies WHERE tenant_id = :tenant_id AND state = 'active'")


async def retire_active(tx: Tx, tenant_id: UUID, now: datetime) -> None:
    active = (policies.c.tenant_id == tenant_id) & (policies.c.state == "active")
    await tx.execute(update(policies).where(active).values(state="retired", updated_at=now))


async def insert_policy(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Inserts the policy under the tenant's next number."""
    latest = select(func.coalesce(func.max(policies.c.number), 0) + 1).where(policies.c.tenant_id == tenant_id)
    await tx.execute(insert(policies).values(tenant_id=tenant_id, number=latest.scalar_subquery(), **values))


async def insert_activation(tx: Tx, tenant_id: UUID, policy_id: UUID, at: datetime) -> None:
    await tx.execute(insert(activations).values(tenant_id=tenant_id, policy_id=policy_id, at=at))


async def schedule_evaluation(tx: Tx, tenant_id: UUID, now: datetime) -> None:
    """Makes every lead with a stage due for evaluation, since another policy has become active."""
    await tx.execute(SCHEDULE_EVALUATION, {"tenant_id": tenant_id, "now": now})


async def active_policy(tx: Tx, tenant_id: UUID) -> Record:
    statement = select(policies).where(policies.c.tenant_id == tenant_id, policies.c.state == "active")
    return (await tx.execute(statement)).one()


async def active_id(tx: Tx, tenant_id: UUID) -> UUID:
    found: UUID = (await tx.execute(ACTIVE_ID, {"tenant_id": tenant_id})).scalar_one()
    return found


async def stages(tx: Tx, tenant_id: UUID, path: list[str]) -> set[str]:
    """The names of the stages at this path of the document, in all versions of the tenant's policies."""
    return set((await tx.execute(STAGES, {"tenant_id": tenant_id, "path": path})).scalars())


async def policy(tx: Tx, tenant_id: UUID, policy_id: UUID) -> Record | None:
    statement = select(policies).where(policies.c.tenant_id == tenant_id, policies.c.id == policy_id)
    return (await tx.execute(statement)).one_or_none()


async def list_policies(tx: Tx, tenant_id: UUID, page: Page) -> Records:
    rows = select(policies).where(policies.c.tenant_id == tenant_id)
    return (await tx.execute(page.statement(rows, policies))).all()
