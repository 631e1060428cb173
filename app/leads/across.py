"""SQL across tenants: leads that are to be compared once more."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Uuid, bindparam, text

from app.database.transaction import Records, Tx
from app.database.turn import Turn

# Tenants in turn. `waiting` reads one entry of the primary key for each tenant that has rows. All transactions with an
# id below the snapshot's xmin have ended. None from its xmax on has written a row that can be read: such a row came
# with a dump from another server, and waits for nothing.
CLAIM: Final = text(
    """
    WITH RECURSIVE waiting AS (
        (SELECT tenant_id FROM likeness_checks ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id FROM waiting w CROSS JOIN LATERAL (
            SELECT c.tenant_id FROM likeness_checks c WHERE c.tenant_id > w.tenant_id ORDER BY c.tenant_id LIMIT 1) next
    ), turns AS (
        SELECT tenant_id, row_number() OVER (ORDER BY tenant_id <= :after, tenant_id) AS served FROM waiting
         ORDER BY served
    ), settled AS (
        SELECT 0 AS first, pg_snapshot_xmin(now)::text::bigint - 1 AS last FROM pg_current_snapshot() AS now
        UNION ALL
        SELECT pg_snapshot_xmax(now)::text::bigint, 9223372036854775807 FROM pg_current_snapshot() AS now
    ), claimed AS MATERIALIZED (
        SELECT oldest.*, t.served FROM turns t CROSS JOIN settled s CROSS JOIN LATERAL (
            SELECT c.tenant_id, c.written_by, c.id FROM likeness_checks c
             WHERE c.tenant_id = t.tenant_id AND c.written_by BETWEEN s.first AND s.last
             ORDER BY c.written_by LIMIT :most FOR UPDATE SKIP LOCKED) oldest
         LIMIT :most
    )
    DELETE FROM likeness_checks c USING claimed d
     WHERE c.tenant_id = d.tenant_id AND c.written_by = d.written_by AND c.id = d.id
    RETURNING c.*, d.served
    """
).bindparams(bindparam("after", type_=Uuid))


async def claim_checks(tx: Tx, turn: Turn, limit: int) -> Records:
    """Takes at most `limit` rows of tenants in turn, of each the oldest whose older transactions have all ended.

    Each row has the leads of one transaction. `turn` says with which tenant they begin.
    """
    return turn.took((await tx.execute(CLAIM, {"after": turn.after, "most": limit})).all())
