"""Reads each tenant's log once for all lanes of this process that have read it to its end.

A lane that is behind reads for itself (serve_lane.py) until it has caught up with the others of its tenant.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog

from app.database.faults import error_fields, is_away
from app.database.transaction import Record, Tx
from app.events.envelope import Sequenced
from app.events.sql import event_of
from app.leads.included import include_leads
from app.webhooks import across
from app.webhooks.lane_context import LaneContext
from app.webhooks.serve_lane import ServedLane

log = structlog.get_logger("baton.deliver")

ROWS: Final = 256  # read at once, of all tenants together; at least some of each
ROWS_OF_EACH: Final = 8
FIRST_MEMBER: Final = 1  # the column with the position, which the members follow


class SharedLog:
    """One per dispatcher."""

    def __init__(self, context: LaneContext) -> None:
        self.context = context
        self._reading = asyncio.Lock()

    async def read(self, lanes: Sequence[ServedLane]) -> None:
        """Read what follows the furthest lanes of each tenant, and offer it to them; tell the others to read."""
        async with self._reading:
            ready = [lane for lane in lanes if lane.takes]
            after: dict[UUID, int] = {}
            for lane in ready:
                after[lane.tenant_id] = max(lane.lane.read_to, after.get(lane.tenant_id, 0))
            furthest: dict[UUID, list[ServedLane]] = defaultdict(list)
            for lane in lanes:
                if lane.takes and lane.lane.read_to == after[lane.tenant_id]:
                    furthest[lane.tenant_id].append(lane)
                else:
                    lane.check_log()
            try:
                if furthest:
                    await self._read(after, furthest)
            except Exception as error:
                if is_away(error):
                    raise
                # An event or a subscription of one tenant is at fault: let it fail the lanes that it concerns.
                log.error("shared_read_failed", **error_fields(error))
                for lane in lanes:
                    lane.check_log()

    async def _read(self, after: Mapping[UUID, int], furthest: Mapping[UUID, Sequence[ServedLane]]) -> None:
        most = max(ROWS_OF_EACH, ROWS // len(after))
        found: dict[UUID, list[Record]] = defaultdict(list)
        read_at = time.monotonic()
        async with self.context.gate, self.context.engine.connect() as tx:
            for row in await across.read_logs(tx, after, most):
                found[row.tenant_id].append(row)
            offered = {tenant_id: await _unchanged(tx, furthest[tenant_id]) for tenant_id in found}
            events = {tenant_id: await _included(tx, rows, offered[tenant_id]) for tenant_id, rows in found.items()}
        for tenant_id, rows in found.items():
            for lane in offered[tenant_id]:
                lane.offer(after[tenant_id], events[tenant_id], rows[-1].position, len(rows) == most, read_at)


async def _unchanged(tx: Tx, lanes: Sequence[ServedLane]) -> list[ServedLane]:
    """The lanes whose subscriptions are as they were loaded; the others load them again, and read for themselves."""
    pairs = [(lane.tenant_id, lane.subscription_id) for lane in lanes]
    changed = await across.changed(tx, pairs, [lane.receiver.version for lane in lanes])
    for lane in lanes:
        if lane.subscription_id in changed:
            lane.reload()
    return [lane for lane in lanes if lane.subscription_id not in changed]


async def _included(tx: Tx, rows: Sequence[Record], lanes: Sequence[ServedLane]) -> list[Sequenced]:
    """The events of the rows; with the lead, once for all lanes, where one of them needs it. Rows may have no event."""
    events = [event_of(row, FIRST_MEMBER) for row in rows if row.id is not None]
    receivers = [lane.receiver for lane in lanes if lane.receiver.needs_lead]
    wanted = [event for event in events if any(receiver.may_accept(event) for receiver in receivers)]
    whole = {event.position: event for event in await include_leads(tx, rows[0].tenant_id, wanted)} if wanted else {}
    return [whole.get(event.position, event) for event in events]
