"""What may be asked of a lead now, and by whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.journeys.evaluate import catch_up, score_at
from app.journeys.load import read_lead
from app.leads.schemas import show_eligible
from app.lifecycle.eligibility import eligibility
from app.scoring.score import with_score
from app.transitions.late import with_reason
from app.web.auth import Caller


async def eligible_actions(tx: Tx, caller: Caller, lead_id: UUID, now: datetime) -> dict[str, Any]:
    """Every action, allowed or why not, as a request would find the lead: with what time alone has changed by now.

    Raises LeadNotFound or Erased.
    """
    change = await read_lead(tx, caller.tenant_id, lead_id, now)
    catch_up(change)
    score_at(change, now)
    assert change.score is not None
    facts = with_score(change.facts(), change.score)
    actions = [
        replace(one, unmet=await with_reason(tx, caller.tenant_id, change, caller.actor, one.unmet))
        for one in eligibility(change.published.policy, facts, caller.actor, now)
    ]
    return {"stage": facts.stage, "actions": [show_eligible(one) for one in actions]}
