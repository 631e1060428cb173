"""Previews a conversion with the same decision and plan as `convert`, without writing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from app.conversion import sql
from app.conversion.convert import decide_conversion, named_records, plan_inputs, refusal_problem
from app.conversion.document import preview_document
from app.conversion.order import ConversionOrder
from app.conversion.plan import make_plan, search_keys
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
    """The planned records and every problem.

    Raises the problems of `begin_change`, and the …NotFound of a record that the request names and that does not exist.
    """
    change = await read_lead(tx, caller.tenant_id, lead_id, now)
    if change.lead.id != lead_id:
        raise LeadMerged(merged_into=show("lead", change.lead.id))
    versions.check(expected, change.lead.version)
    decided = decide_conversion(change, order, caller.actor, now)
    inputs = plan_inputs(change, order, caller.actor, hidden=not caller.may("leads:read"))
    keys = search_keys(inputs)
    found = await sql.find(tx, caller.tenant_id, [keys], lock=False)
    plan = make_plan(inputs, named_records(inputs, found.by(keys)))
    refused = [await refusal_problem(tx, caller.tenant_id, change, decided.why)] if isinstance(decided, Refused) else []
    return preview_document(plan, [*refused, *plan.blocked])
