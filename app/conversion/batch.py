"""Many conversions in one request: each in a savepoint, so that a refused one does not roll back the others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app import ids
from app.conversion.convert import convert
from app.conversion.order import BatchItem, BatchOrder
from app.database.transaction import Tx
from app.errors import Problem
from app.journeys.sql import lock_leads
from app.web.auth import Caller


async def convert_batch(tx: Tx, caller: Caller, order: BatchOrder, now: datetime) -> list[dict[str, Any]]:
    """One result per item, in the order of the items: `{index, lead_id, status, conversion | problem}`.

    With `atomic` the first refusal is raised, with the `index` and `lead_id` of its item, and nothing is converted.
    """
    # All leads are locked first and in one order, so that two batches with the same leads do not deadlock.
    await lock_leads(tx, caller.tenant_id, [item.lead_id for item in order.items])
    return [await _convert_item(tx, caller, index, item, order.atomic, now) for index, item in enumerate(order.items)]


async def _convert_item(
    tx: Tx, caller: Caller, index: int, item: BatchItem, atomic: bool, now: datetime
) -> dict[str, Any]:
    item_ref = {"index": index, "lead_id": ids.show("lead", item.lead_id)}
    try:
        async with tx.savepoint():
            conversion = await convert(tx, caller, item.lead_id, item, None, now)
    except Problem as problem:
        if problem.status >= 500:
            raise
        if atomic:
            problem.members.update(item_ref)
            raise
        return {**item_ref, "status": problem.status, "problem": problem.document()}
    return {**item_ref, "status": 201, "conversion": conversion}
