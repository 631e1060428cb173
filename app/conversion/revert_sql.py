"""Statements of reverts: the conversion of a journey, its records, what hangs on them, and the end of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text

from app.database.transaction import Record, Tx
from app.pipeline.kinds import OPPORTUNITY
from app.pipeline.sql import record_of

CONVERSION = text(
    "SELECT id, lead_id, account_id, contact_id, opportunity_id, answer, replaced FROM conversions"
    " WHERE tenant_id = :tenant_id AND journey_id = :journey_id AND reverted_at IS NULL"
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("journey_id", type_=Uuid))
LAST_REVERTED = text(
    "SELECT id, reverted_at FROM conversions WHERE tenant_id = :tenant_id AND lead_id = :lead_id"
    " AND journey_id = :journey_id AND reverted_at IS NOT NULL ORDER BY recorded_at DESC, id DESC LIMIT 1"
).bindparams(*(bindparam(name, type_=Uuid) for name in ("tenant_id", "lead_id", "journey_id")))

RECORD_IDS: Final = tuple(bindparam(name, type_=Uuid) for name in ("account_id", "contact_id", "opportunity_id"))
# FOR UPDATE, so that whoever hangs another record on one of them waits, and finds it archived.
RECORDS_SQL: Final = """
    WITH account AS (SELECT * FROM accounts WHERE tenant_id = :tenant_id AND id = :account_id {lock}),
         contact AS (SELECT * FROM contacts WHERE tenant_id = :tenant_id AND id = :contact_id {lock}),
         opportunity AS (SELECT * FROM opportunities WHERE tenant_id = :tenant_id AND id = :opportunity_id {lock})
    SELECT 'account' AS kind, to_jsonb(a) AS stored FROM account a
    UNION ALL SELECT 'contact', to_jsonb(c) FROM contact c
    UNION ALL SELECT 'opportunity', to_jsonb(o) FROM opportunity o
"""
RECORDS = text(RECORDS_SQL.format(lock="")).bindparams(bindparam("tenant_id", type_=Uuid), *RECORD_IDS)
LOCKED_RECORDS = text(RECORDS_SQL.format(lock="FOR UPDATE")).bindparams(bindparam("tenant_id", type_=Uuid), *RECORD_IDS)

# Two of each kind are enough: at most one of them is of the conversion itself.
OTHERS = text(
    """
    (SELECT 'account' AS of, 'contact' AS kind, id FROM contacts
      WHERE tenant_id = :tenant_id AND account_id = :account_id AND archived_at IS NULL LIMIT 2)
    UNION ALL
    (SELECT 'account', 'opportunity', id FROM opportunities
      WHERE tenant_id = :tenant_id AND account_id = :account_id AND archived_at IS NULL LIMIT 2)
    UNION ALL
    (SELECT 'account', 'lead', id FROM leads
      WHERE tenant_id = :tenant_id AND account_id = :account_id AND id <> :lead_id
        AND merged_into IS NULL AND erased_at IS NULL LIMIT 1)
    UNION ALL
    (SELECT 'contact', 'opportunity', id FROM opportunities
      WHERE tenant_id = :tenant_id AND contact_id = :contact_id AND archived_at IS NULL LIMIT 2)
    UNION ALL
    (SELECT 'contact', 'lead', id FROM leads
      WHERE tenant_id = :tenant_id AND contact_id = :contact_id AND id <> :lead_id
        AND merged_into IS NULL AND erased_at IS NULL LIMIT 1)
    UNION ALL
    (SELECT 'account', 'lead', lead_id FROM conversions
      WHERE tenant_id = :tenant_id AND account_id = :account_id AND id <> :id AND reverted_at IS NULL LIMIT 1)
    UNION ALL
    (SELECT 'contact', 'lead', lead_id FROM conversions
      WHERE tenant_id = :tenant_id AND contact_id = :contact_id AND id <> :id AND reverted_at IS NULL LIMIT 1)
    UNION ALL
    (SELECT 'opportunity', 'lead', lead_id FROM conversions
      WHERE tenant_id = :tenant_id AND opportunity_id = :opportunity_id AND id <> :id AND reverted_at IS NULL LIMIT 1)
    """
).bindparams(*(bindparam(name, type_=Uuid) for name in ("tenant_id", "id", "lead_id")), *RECORD_IDS)

END_CONVERSION = text(
    "UPDATE conversions SET reverted_at = :now WHERE tenant_id = :tenant_id AND id = :id AND reverted_at IS NULL"
).bindparams(
    bindparam("tenant_id", type_=Uuid), bindparam("id", type_=Uuid), bindparam("now", type_=DateTime(timezone=True))
)


async def conversion_of(tx: Tx, tenant_id: UUID, journey_id: UUID) -> Record | None:
    """The conversion of a journey that was not reverted."""
    return (await tx.execute(CONVERSION, {"tenant_id": tenant_id, "journey_id": journey_id})).one_or_none()


async def last_reverted(tx: Tx, tenant_id: UUID, lead_id: UUID, journey_id: UUID) -> Record | None:
    """The last one of the conversions of a lead's journey that were reverted."""
    named = {"tenant_id": tenant_id, "lead_id": lead_id, "journey_id": journey_id}
    return (await tx.execute(LAST_REVERTED, named)).one_or_none()


async def records_of(tx: Tx, tenant_id: UUID, conversion: Record, *, lock: bool) -> dict[str, Mapping[str, Any]]:
    """The account, contact and opportunity of a conversion, by kind; `lock` locks them in this order."""
    found = await tx.execute(LOCKED_RECORDS if lock else RECORDS, _bound(tenant_id, conversion))
    return {row.kind: row.stored for row in found}


async def others_of(tx: Tx, tenant_id: UUID, conversion: Record) -> dict[str, set[tuple[str, str]]]:
    """Of each record of a conversion, the kind and id of live records that hang on it; two of each kind at most."""
    others: dict[str, set[tuple[str, str]]] = {}
    named = {"id": conversion.id, "lead_id": conversion.lead_id}
    for row in await tx.execute(OTHERS, {**_bound(tenant_id, conversion), **named}):
        others.setdefault(row.of, set()).add((row.kind, str(row.id)))
    return others


def _bound(tenant_id: UUID, conversion: Record) -> dict[str, Any]:
    links = {name: getattr(conversion, name) for name in ("account_id", "contact_id", "opportunity_id")}
    return {"tenant_id": tenant_id, **links}


async def end_conversion(tx: Tx, tenant_id: UUID, conversion_id: UUID, now: datetime) -> None:
    """Marks the conversion as reverted."""
    await tx.execute(END_CONVERSION, {"tenant_id": tenant_id, "id": conversion_id, "now": now})


async def class_of(tx: Tx, tenant_id: UUID, opportunity_id: UUID | None) -> str | None:
    """The class of an opportunity; None without one."""
    row = await record_of(tx, tenant_id, OPPORTUNITY, opportunity_id) if opportunity_id is not None else None
    return None if row is None else str(row._mapping["class"])
