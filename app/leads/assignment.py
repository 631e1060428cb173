"""Who has a lead, and how the routes of the policy chose."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app import ids
from app.database.transaction import Tx
from app.journeys import routing_sql
from app.journeys.load import read_lead
from app.web.fields import ResponseBody, rfc3339

SHOWN = 20


class RuleOut(ResponseBody):
    rule: str
    holds: bool | None = Field(description="Null: not evaluated, since a rule before it decided.")
    unmet: list[dict[str, Any]]
    decided: bool


class RingMemberOut(ResponseBody):
    position: int
    user_id: str
    team: str | None
    weight: int
    load: int = Field(description="The open leads that the user owned.")
    capacity: int | None
    absent: bool
    unavailable: Literal["had_it", "absent", "full", "no_weight"] | None


class RingOut(ResponseBody):
    name: str
    position: int | None = Field(description="The place of the chosen user in the turn, from 1; null: nobody could.")
    places: int = Field(description="How many places the turn has: the sum of the weights.")
    members: list[RingMemberOut]


class TargetOut(ResponseBody):
    method: Literal["pool", "round_robin", "account_owner"]
    team: str | None
    outcome: str
    account_id: str | None
    account_owner_id: str | None
    ring: RingOut | None


class DecisionOut(ResponseBody):
    assigned_at: str
    policy_version: int
    route: str
    role: str
    reason: Literal["assigned", "pool", "nobody_available", "no_target_left"]
    not_accepted_in_time: bool = Field(description="The lead came back from a partner who had not accepted it.")
    owner_id: str | None
    pool: str | None
    team: str | None
    rule: str | None = Field(description="The rule that decided; null: none did, so the route itself.")
    accept_by: str | None
    voided: bool = Field(description="Whether a correction took it back.")
    rules: list[RuleOut]
    targets: list[TargetOut] = Field(description="The targets that were tried, in this order.")


class AssignmentOut(ResponseBody):
    """Who has the lead now, and what the route chose.

    `decision` is null where nothing had to be chosen, or a correction took it back.
    """

    lead_id: str
    owner_id: str | None
    team: str | None
    assigned_at: str | None = Field(description="Since when the owner or a pool has it; null: nobody has it.")
    accept_by: str | None
    decision: DecisionOut | None
    earlier: list[DecisionOut] = Field(description="The other choices of the journey, newest first.")


async def read_assignment(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> dict[str, Any]:
    """The present owner or team, and the latest choices of the present journey. Raises LeadNotFound or Erased."""
    lead = (await read_lead(tx, tenant_id, lead_id, now)).lead
    journey = lead.journey
    rows = await routing_sql.assignments_of(tx, tenant_id, journey.id, SHOWN) if journey else []
    chosen = [{**row.document, "voided": row.voided_at is not None} for row in rows]
    decision = next((one for one in chosen if not one["voided"]), None)
    return {
        "lead_id": ids.show("lead", lead.id),
        "owner_id": ids.shown("user", lead.owner.id if lead.owner else None),
        "team": lead.team,
        "assigned_at": rfc3339(journey.assigned_at if journey else None),
        "accept_by": rfc3339(journey.offer.accept_by if journey and journey.offer else None),
        "decision": decision,
        "earlier": [one for one in chosen if one is not decision],
    }
