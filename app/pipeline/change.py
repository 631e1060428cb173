"""Changing an account, a contact or an opportunity by PATCH: members merge, null empties, and no stage moves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.pipeline import sql
from app.pipeline.create import amount_columns, check_links
from app.pipeline.forms import account_columns, contact_columns
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, Kind, missing, taken
from app.web import versions

KEPT: Final = {OPPORTUNITY.name: ("name", "business")}


async def change_record(
    tx: Tx,
    tenant_id: UUID,
    kind: Kind,
    record_id: UUID,
    said: Mapping[str, Any],
    expected: frozenset[str] | None,
    now: datetime,
) -> Record:
    """The record with what was said in place. …NotFound, VersionConflict, AlreadyExists, and those of `check_links`."""
    row = await sql.record_of(tx, tenant_id, kind, record_id, lock=True)
    if row is None:
        raise missing(kind, record_id)
    versions.check(expected, row.version)
    for name in KEPT.get(kind.name, ()):
        if name in said and said[name] is None:
            raise RequestInvalid.of(name, "required", "must not be null")
    await check_links(tx, tenant_id, said)
    columns = _columns(kind, row, said, now)
    wanted = {**row._mapping, **columns}
    try:
        async with tx.savepoint():
            return await sql.update_record(tx, tenant_id, kind, record_id, {**columns, "updated_at": now})
    except IntegrityError:
        held = await sql.holders(tx, tenant_id, kind, wanted, but=record_id)
        raise taken(kind, [dict(one._mapping) for one in held], wanted) from None


def _columns(kind: Kind, row: Record, said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    plain = {name: value for name, value in said.items() if name not in ("amount", "archived", "custom")}
    if kind in (ACCOUNT, CONTACT):
        plain = account_columns(plain, row.country) if kind is ACCOUNT else contact_columns(plain, row.country)
    if said.get("archived") is not None:
        plain["archived_at"] = (row.archived_at or now) if said["archived"] else None
    if said.get("custom") is not None:
        merged = {**row.custom, **said["custom"]}
        plain["custom"] = {name: value for name, value in merged.items() if value is not None}
    return plain | amount_columns(said)
