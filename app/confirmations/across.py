"""SQL across tenants: requests to confirm consents that nobody answered."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text

from app.database.transaction import Tx

REQUESTS_AT_ONCE: Final = 1_000

SWEEP: Final = text(
    """
    WITH expired AS (
        SELECT tenant_id, id FROM consent_requests WHERE confirmed_at IS NULL AND expires_at < :before
         ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    DELETE FROM consent_requests r USING expired e WHERE r.tenant_id = e.tenant_id AND r.id = e.id RETURNING r.id
    """
)


async def sweep_requests(tx: Tx, before: datetime) -> int:
    """Deletes requests that expired before this without an answer; how many. The consents stay pending."""
    return len((await tx.execute(SWEEP, {"before": before, "most": REQUESTS_AT_ONCE})).all())
