"""Who has a lead, and how the routes of the policy chose."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys import routing_sql
from app.journeys.load import read_lead
from app.web.fields import rfc3339

SHOWN = 20


async def read_assignment(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> dict[str, Any]:
    """The present owner or team, and the latest choices of the present journey. Raises LeadNotFound or Erased."""
    lead = (await read_lead(tx, tenant_id, lead_id, now)).lead
    journey = lead.journey
    rows = await routing_sql.assignments_of(tx, tenant_id, journey.id, SHOWN) if journey else []
    chosen = [row.document for row in rows]
    return {
        "lead_id": ids.show("lead", lead.id),
        "owner_id": ids.shown("user", lead.owner.id if lead.owner else None),
        "team": lead.team,
        "assigned_at": rfc3339(journey.assigned_at if journey else None),
        "accept_by": rfc3339(journey.offer.accept_by if journey and journey.offer else None),
        "decision": next(iter(chosen), None),
        "earlier": chosen[1:],
    }
