"""Statements by which routes choose owners: rings, the users of a role, the accounts of leads, and what was chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Records, Tx

TENANT = bindparam("tenant_id", type_=Uuid)
# Choices share the lock; a change of users excludes them, so that none is made from what users were before it.
LOCK_STAFF = {
    to_change: text(f"SELECT pg_advisory_xact_lock{suffix}(hashtextextended(:name, 0))")
    for to_change, suffix in ((False, "_shared"), (True, ""))
}
ADD_RINGS = text(
    "INSERT INTO rings (tenant_id, name) SELECT :tenant_id, name FROM unnest(:names) name ORDER BY name"
    " ON CONFLICT DO NOTHING"
).bindparams(TENANT, bindparam("names", type_=ARRAY(Text)))
LOCK_RINGS = text(
    "SELECT name, place, user_id FROM rings WHERE tenant_id = :tenant_id AND name = ANY(:names) ORDER BY name"
    " FOR NO KEY UPDATE"
).bindparams(TENANT, bindparam("names", type_=ARRAY(Text)))
ROSTER = text(
    """
    SELECT u.id, u.role, u.team, u.weight, u.capacity, u.absences, load.leads
      FROM users u
      CROSS JOIN LATERAL (
           SELECT count(*) AS leads FROM leads l
             JOIN LATERAL (SELECT 1 FROM journeys j WHERE j.tenant_id = l.tenant_id AND j.lead_id = l.id
                            AND j.closed_at IS NULL LIMIT 1) j ON true
            WHERE l.tenant_id = u.tenant_id AND l.owner_id = u.id AND l.merged_into IS NULL AND l.erased_at IS NULL
      ) load
     WHERE u.tenant_id = :tenant_id AND u.role = ANY(:roles) AND u.active
     ORDER BY u.id
    """
).bindparams(TENANT, bindparam("roles", type_=ARRAY(Text)))
ACCOUNTS = text(
    """
    SELECT w.lead_id, a.id, a.owner_id
      FROM jsonb_to_recordset(:wanted) AS w(lead_id uuid, account_id uuid, domain text)
      JOIN LATERAL (
           SELECT a.id, a.owner_id FROM accounts a
            WHERE a.tenant_id = :tenant_id AND a.archived_at IS NULL AND (a.id = w.account_id OR a.domain = w.domain)
            ORDER BY (a.id = w.account_id) IS TRUE DESC LIMIT 1
      ) a ON true
    """
).bindparams(TENANT, bindparam("wanted", type_=JSONB))
KEEP = text(
    """
    WITH kept AS (
        INSERT INTO assignments (tenant_id, id, journey_id, recorded_at, document)
        SELECT :tenant_id, id, journey_id, recorded_at, document
          FROM jsonb_to_recordset(:assignments) AS r(id uuid, journey_id uuid, recorded_at timestamptz, document jsonb)
    )
    UPDATE rings r SET place = c.place, user_id = c.user_id
      FROM jsonb_to_recordset(:positions) AS c(name text, place integer, user_id uuid)
     WHERE r.tenant_id = :tenant_id AND r.name = c.name
    """
).bindparams(TENANT, bindparam("assignments", type_=JSONB), bindparam("positions", type_=JSONB))
VOID = text(
    """
    UPDATE assignments a SET voided_at = c.voided_at
      FROM jsonb_to_recordset(:voids) AS c(journey_id uuid, route text, voided_at timestamptz)
     WHERE a.tenant_id = :tenant_id AND a.journey_id = c.journey_id AND a.document ->> 'route' = c.route
       AND a.voided_at IS NULL
    """
).bindparams(TENANT, bindparam("voids", type_=JSONB))
OF_JOURNEY = text(
    """
    SELECT document, voided_at FROM assignments WHERE tenant_id = :tenant_id AND journey_id = :journey_id
     ORDER BY recorded_at DESC, id DESC LIMIT :limit
    """
).bindparams(TENANT, bindparam("journey_id", type_=Uuid))


async def lock_staff(tx: Tx, tenant_id: UUID, *, to_change: bool = False) -> None:
    """Waits until changes of the tenant's users are committed; `to_change` users, until choices of routes are.

    Taken after all leads of the transaction, and before its rings.
    """
    await tx.execute(LOCK_STAFF[to_change], {"name": f"{tenant_id}:staff"})


async def lock_rings(tx: Tx, tenant_id: UUID, names: Collection[str]) -> Records:
    """Locks these rings in the order of their names until the transaction ends; unknown ones are added."""
    bound = {"tenant_id": tenant_id, "names": sorted(names)}
    await tx.execute(ADD_RINGS, bound)
    return (await tx.execute(LOCK_RINGS, bound)).all()


async def roster(tx: Tx, tenant_id: UUID, roles: Collection[str]) -> Records:
    """The active users of these roles, each with the number of open leads."""
    return (await tx.execute(ROSTER, {"tenant_id": tenant_id, "roles": sorted(roles)})).all()


async def accounts_of(tx: Tx, tenant_id: UUID, wanted: Sequence[Mapping[str, Any]]) -> Records:
    """The account of each lead that has one: the one it is linked to, else the one with its domain."""
    return (await tx.execute(ACCOUNTS, {"tenant_id": tenant_id, "wanted": list(wanted)})).all() if wanted else []


async def keep_assignments(
    tx: Tx, tenant_id: UUID, assignments: Sequence[Mapping[str, Any]], positions: Sequence[Mapping[str, Any]]
) -> None:
    """Stores what was chosen, and the last position of each locked ring."""
    bound = {"tenant_id": tenant_id, "assignments": list(assignments), "positions": list(positions)}
    await tx.execute(KEEP, bound)


async def void_assignments(tx: Tx, tenant_id: UUID, voids: Sequence[Mapping[str, Any]]) -> None:
    """Marks the choices of these routes as void. Runs before `keep_assignments`."""
    if voids:
        await tx.execute(VOID, {"tenant_id": tenant_id, "voids": list(voids)})


async def assignments_of(tx: Tx, tenant_id: UUID, journey_id: UUID, limit: int) -> Records:
    """What routes chose in the journey, newest first."""
    return (await tx.execute(OF_JOURNEY, {"tenant_id": tenant_id, "journey_id": journey_id, "limit": limit})).all()
