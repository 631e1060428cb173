"""Statements about hashes of identities that were erased."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.transaction import Records, Tx

TENANT = bindparam("tenant_id", type_=Uuid)
HASHES = bindparam("hashes", type_=ARRAY(LargeBinary))
SALT = text("SELECT salt FROM suppression_salts WHERE tenant_id = :tenant_id").bindparams(TENANT)
KEEP_SALT = text(
    "INSERT INTO suppression_salts (tenant_id, salt) VALUES (:tenant_id, :salt)"
    " ON CONFLICT (tenant_id) DO UPDATE SET salt = suppression_salts.salt RETURNING salt"
).bindparams(TENANT)
FIND = text(
    """
    SELECT s.* FROM unnest(:hashes) AS w(hash)
      JOIN LATERAL (SELECT * FROM suppressions s WHERE s.tenant_id = :tenant_id AND s.hash = w.hash LIMIT 1) s ON true
    """
).bindparams(TENANT, HASHES)
LIFT = text("DELETE FROM suppressions WHERE tenant_id = :tenant_id AND hash = ANY(:hashes)").bindparams(TENANT, HASHES)


async def salt(tx: Tx, tenant_id: UUID) -> Any:
    """The encrypted salt of the tenant, or None."""
    return (await tx.execute(SALT, {"tenant_id": tenant_id})).scalar_one_or_none()


async def keep_salt(tx: Tx, tenant_id: UUID, sealed: str) -> str:
    """Keeps this salt unless there is one; the one that is kept."""
    return str((await tx.execute(KEEP_SALT, {"tenant_id": tenant_id, "salt": sealed})).scalar_one())


async def suppressions(tx: Tx, tenant_id: UUID, hashes: Collection[bytes]) -> Records:
    """Those of the hashes that are suppressed."""
    return (await tx.execute(FIND, {"tenant_id": tenant_id, "hashes": sorted(hashes)})).all() if hashes else []


async def lift(tx: Tx, tenant_id: UUID, hashes: Collection[bytes]) -> None:
    """Ends the suppression of these."""
    if hashes:
        await tx.execute(LIFT, {"tenant_id": tenant_id, "hashes": sorted(hashes)})
