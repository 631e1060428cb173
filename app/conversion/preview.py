"""What a conversion would do: the same way as converting, up to the writing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from app.conversion.convert import case_of, decided_of, look, refusal
from app.conversion.document import preview_document
from app.conversion.order import ConversionOrder
from app.conversion.plan import NewIds, make_plan
from app.database.transaction import Tx
from app.errors import LeadMerged
from app.ids import show
from app.journeys.load import read_lead
from app.lifecycle.answer import Refused
from app.web import versions
from app.web.auth import Caller


async def preview(
    tx: Tx, caller: Caller, lead_id: UUID, order: ConversionOrder, expected: frozenset[str] | None, now: datetime
) -> dict[str, Any]:
    """What would be made, and all that is in the way. LeadNotFound, Erased, LeadMerged, VersionConflict, …NotFound."""
    change = await read_lead(tx, caller.tenant_id, lead_id, now)
    if change.lead.merged_into is not None:
        raise LeadMerged(merged_into=show("lead", change.lead.merged_into))
    versions.check(expected, change.lead.version)
    decided = decided_of(change, order, caller.actor, now)
    case = case_of(change, order, NewIds(), hidden=not caller.may("leads:read"))
    plan = make_plan(case, await look(tx, caller.tenant_id, case, lock=False))
    refused = [await refusal(tx, caller.tenant_id, change, decided.why)] if isinstance(decided, Refused) else []
    return preview_document(plan, [*refused, *plan.blocked])
