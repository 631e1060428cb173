"""SQL of policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from app.database.tables import activations, approvals, policies
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

STAGES = text(
    "SELECT DISTINCT stage ->> 'name' FROM policies"
    " CROSS JOIN jsonb_array_elements(document #> CAST(:path AS text[])) AS stage"
    " WHERE tenant_id = :tenant_id AND state IN ('active', 'retired')"
    " AND coalesce(stage ->> 'kind', '') <> ALL (:kinds)"
)
ACTIVE_ID = text("SELECT id FROM policies WHERE tenant_id = :tenant_id AND state = 'active'")
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
TEAMS = text("SELECT DISTINCT team FROM users WHERE tenant_id = :tenant_id AND active AND team IS NOT NULL")
JOURNEYS_OUTSIDE = text(
    "SELECT stage, count(*) AS journeys FROM journeys"
    " WHERE tenant_id = :tenant_id AND closed_at IS NULL AND stage <> ALL(:stages) GROUP BY stage ORDER BY stage"
).bindparams(bindparam("stages", type_=ARRAY(TEXT)))
# Leads are locked in ascending id, as everywhere. An older activation needs no more leads: the newer one takes all.
SCHEDULE_BATCH = text(
    """
    WITH activation AS (
        SELECT coalesce(scheduled_to, '00000000-0000-0000-0000-000000000000') AS after FROM activations
         WHERE tenant_id = :tenant_id AND at = :at AND scheduled_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    ), batch AS MATERIALIZED (
        SELECT l.id FROM activation a CROSS JOIN LATERAL (
            SELECT l.id FROM leads l WHERE l.tenant_id = :tenant_id AND l.id > a.after
             ORDER BY l.id LIMIT :limit FOR NO KEY UPDATE) l
    ), scheduled AS (
        UPDATE leads l SET evaluate_at = least(l.evaluate_at, CAST(:now AS timestamptz))
          FROM (SELECT id FROM batch LIMIT (SELECT 1000000)) b
         WHERE l.tenant_id = :tenant_id AND l.id = b.id AND l.stage IS NOT NULL AND l.merged_into IS NULL
           AND l.erased_at IS NULL
    ), reached AS (
        SELECT (array_agg(id ORDER BY id DESC))[1] AS last, count(*) AS leads FROM batch
    )
    UPDATE activations a
       SET scheduled_to = coalesce(r.last, a.scheduled_to),
           scheduled_at = CASE WHEN r.leads < :limit THEN CAST(:now AS timestamptz) END
      FROM reached r WHERE a.tenant_id = :tenant_id AND a.at = :at AND EXISTS (SELECT FROM activation)
    RETURNING true
    """
)
NEXT_ACTIVATION = text(
    "SELECT greatest(CAST(:now AS timestamptz), max(at) + interval '1 microsecond') FROM activations"
    " WHERE tenant_id = :tenant_id"
)
SUPERSEDE = text("UPDATE activations SET scheduled_at = :now WHERE tenant_id = :tenant_id AND scheduled_at IS NULL")


def captures_lock(tenant_id: UUID) -> str:
    """The advisory lock that is shared by transactions that create leads, and that an activation takes alone."""
    return f"{tenant_id}|policy"


async def lock_policies(tx: Tx, tenant_id: UUID) -> None:
    """Lets changes of the policies of a tenant go one after another, until the transaction ends."""
    await tx.execute(LOCK, {"name": f"{tenant_id}|policies"})


async def lock_captures(tx: Tx, tenant_id: UUID) -> None:
    """Waits until leads that are being created are committed; those that come now wait for this transaction."""
    await tx.execute(LOCK, {"name": captures_lock(tenant_id)})


async def retire_active(tx: Tx, tenant_id: UUID, now: datetime) -> UUID | None:
    """Retires the active policy and returns its id; None for a new tenant, which has none."""
    active = (policies.c.tenant_id == tenant_id) & (policies.c.state == "active")
    values = {"state": "retired", "review_due_at": None, "updated_at": now, "version": policies.c.version + 1}
    retired = update(policies).where(active).values(**values).returning(policies.c.id)
    return (await tx.execute(retired)).scalar_one_or_none()


async def insert_policy(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> Record:
    """Inserts the policy under the tenant's next number."""
    latest = select(func.coalesce(func.max(policies.c.number), 0) + 1).where(policies.c.tenant_id == tenant_id)
    inserted = insert(policies).values(tenant_id=tenant_id, number=latest.scalar_subquery(), **values)
    return (await tx.execute(inserted.returning(policies))).one()


async def update_policy(tx: Tx, tenant_id: UUID, policy_id: UUID, values: Mapping[str, Any]) -> Record:
    statement = (
        update(policies)
        .where(policies.c.tenant_id == tenant_id, policies.c.id == policy_id)
        .values(version=policies.c.version + 1, **values)
        .returning(policies)
    )
    return (await tx.execute(statement)).one()


async def set_review(tx: Tx, tenant_id: UUID, policy_id: UUID, at: datetime | None) -> None:
    """Sets when the next review is due."""
    await update_policy(tx, tenant_id, policy_id, {"review_due_at": at})


async def delete_policy(tx: Tx, tenant_id: UUID, policy_id: UUID) -> None:
    await tx.execute(delete(policies).where(policies.c.tenant_id == tenant_id, policies.c.id == policy_id))


async def approvals_of(tx: Tx, tenant_id: UUID, policy_id: UUID) -> Records:
    """The approvals of a policy, in the order in which they were given."""
    of_policy = (approvals.c.tenant_id == tenant_id) & (approvals.c.policy_id == policy_id)
    return (await tx.execute(select(approvals).where(of_policy).order_by(approvals.c.approved_at))).all()


async def insert_approval(tx: Tx, tenant_id: UUID, policy_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(approvals).values(tenant_id=tenant_id, policy_id=policy_id, **values))


async def delete_approvals(tx: Tx, tenant_id: UUID, policy_id: UUID) -> None:
    await tx.execute(delete(approvals).where(approvals.c.tenant_id == tenant_id, approvals.c.policy_id == policy_id))


async def next_activation(tx: Tx, tenant_id: UUID, now: datetime) -> datetime:
    """The instant of an activation: now, but always after the one before, whatever the clock of that process said."""
    at: datetime = (await tx.execute(NEXT_ACTIVATION, {"tenant_id": tenant_id, "now": now})).scalar_one()
    return at


async def insert_activation(tx: Tx, tenant_id: UUID, policy_id: UUID, at: datetime) -> None:
    """Notes since when the policy is active. Leads that are not scheduled yet for an earlier one are left to it."""
    await tx.execute(SUPERSEDE, {"tenant_id": tenant_id, "now": at})
    await tx.execute(insert(activations).values(tenant_id=tenant_id, policy_id=policy_id, at=at))


async def schedule_batch(tx: Tx, tenant_id: UUID, at: datetime, limit: int, now: datetime) -> int:
    """Schedules the next leads after the activation at that instant; 0 if nothing is left, or another does it."""
    bound = {"tenant_id": tenant_id, "at": at, "limit": limit, "now": now}
    return len((await tx.execute(SCHEDULE_BATCH, bound)).all())


async def teams(tx: Tx, tenant_id: UUID) -> set[str]:
    """The teams that active users of the tenant belong to."""
    return set((await tx.execute(TEAMS, {"tenant_id": tenant_id})).scalars())


async def journeys_outside(tx: Tx, tenant_id: UUID, stages: Sequence[str]) -> dict[str, int]:
    """The stages other than these in which journeys stand that are not closed, with their number."""
    rows = await tx.execute(JOURNEYS_OUTSIDE, {"tenant_id": tenant_id, "stages": list(stages)})
    return {row.stage: row.journeys for row in rows}


async def active_policy(tx: Tx, tenant_id: UUID) -> Record:
    statement = select(policies).where(policies.c.tenant_id == tenant_id, policies.c.state == "active")
    return (await tx.execute(statement)).one()


async def active_id(tx: Tx, tenant_id: UUID) -> UUID:
    found: UUID = (await tx.execute(ACTIVE_ID, {"tenant_id": tenant_id})).scalar_one()
    return found


async def stages(tx: Tx, tenant_id: UUID, path: list[str], but_kinds: Sequence[str] = ()) -> set[str]:
    """The names of the stages at this path of the document, in all policies of the tenant that are or were active.

    Without those of the kinds in `but_kinds`.
    """
    values = {"tenant_id": tenant_id, "path": path, "kinds": list(but_kinds)}
    return set((await tx.execute(STAGES, values)).scalars())


async def policy(tx: Tx, tenant_id: UUID, policy_id: UUID) -> Record | None:
    statement = select(policies).where(policies.c.tenant_id == tenant_id, policies.c.id == policy_id)
    return (await tx.execute(statement)).one_or_none()


async def list_policies(tx: Tx, tenant_id: UUID, page: Page, state: str | None) -> Records:
    rows = select(policies).where(policies.c.tenant_id == tenant_id)
    if state is not None:
        rows = rows.where(policies.c.state == state)
    return (await tx.execute(page.statement(rows, policies))).all()
