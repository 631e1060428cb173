"""The statement that drops bodies of submissions, or rows of lists, of erased people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Tx

# Without its body a submission has no hash of it either, by which it is known to be erased. That of a list's part is
# the hash of the whole file, and stays.
ERASE = text(
    """
    UPDATE submissions s SET body = decode(r.body, 'base64'), listed = coalesce(r.listed, s.listed), query = '',
           headers = '{}', client_address = NULL,
           sha256 = CASE WHEN r.listed IS NULL THEN '' ELSE s.sha256 END
      FROM jsonb_to_recordset(:rows) AS r(id uuid, body text, listed jsonb)
     WHERE s.tenant_id = :tenant_id AND s.id = r.id
    """
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("rows", type_=JSONB))


async def write_erased(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes what is left of submissions: `id`, `body` in base64, and `listed` where it is a part of a list."""
    await tx.execute(ERASE, {"tenant_id": tenant_id, "rows": list(rows)})
