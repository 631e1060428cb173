"""Change by how many lanes a subscription is served."""

from __future__ import annotations

from uuid import UUID

from app.database.transaction import Tx
from app.webhooks import across, sql
from app.webhooks.shares import Passed


async def change_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID, number: int) -> None:
    """Replace the lanes by so many, which begin at the lowest position and leave out what was handled beyond it.

    The processes that serve the old ones lose them: a fence is never used again. A receiver is taken to be as the
    lane has it that is due first.
    """
    old = await sql.lock_lanes(tx, tenant_id, subscription_id)
    if len(old) in (0, number):
        return
    settled = await across.settled_after(tx, [(tenant_id, subscription_id, lane.lane_no) for lane in old])
    positions = [lane.position for lane in old]
    passed = Passed.of(old[0].passed).then(positions, (row.position for row in settled))
    first_due = min(old, key=lambda lane: (lane.due_in, lane.lane_no))
    place = tx, tenant_id, subscription_id
    await sql.replace_lanes(*place, number, min(positions), passed.stored, like=first_due.lane_no)
