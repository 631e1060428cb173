"""Each time that a lead became an MQL: why, by which campaign, and what people did with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from app import ids
from app.database.transaction import Record
from app.web.fields import ResponseBody, rfc3339


class Decision(ResponseBody):
    action: str
    to: str
    reason_code: str | None
    actor: dict[str, Any]
    occurred_at: str


class Qualification(ResponseBody):
    transition_id: str
    journey_no: int
    occurred_at: str
    recorded_at: str
    policy_version: int
    actor: dict[str, Any]
    rules: list[str] = Field(description="The scoring rules whose points counted.")
    override_reason: str | None
    attribution: dict[str, Any] | None = Field(
        description="First and last touch of that moment: source, medium, campaign, channel. Null before it was kept."
    )
    voided: bool = Field(description="Whether a correction took it back: reports do not count it then.")
    attempts: int = Field(description="Contact attempts until the lead became an MQL again.")
    first_response_at: str | None = Field(description="The first contact attempt, or the first decision of a person.")
    decisions: list[Decision] = Field(
        description="All transitions of the journey until it became an MQL again; none while nobody has decided."
    )


class QualificationList(ResponseBody):
    data: list[Qualification]
    next: None


def show_qualification(row: Record) -> dict[str, Any]:
    """A row of `QUALIFICATIONS` as answers show it."""
    evidence = row.evidence
    rules = {one["rule_id"] for one in evidence.get("entries", ()) if one["counts"] and one["decayed_points"]}
    return {
        "transition_id": ids.show("transition", row.id),
        "journey_no": row.journey_no,
        "occurred_at": rfc3339(row.occurred_at),
        "recorded_at": rfc3339(row.recorded_at),
        "policy_version": row.policy_version,
        "actor": row.actor,
        "rules": sorted(rules),
        "override_reason": evidence.get("override_reason"),
        "attribution": evidence.get("attribution"),
        "voided": row.voided,
        "attempts": row.attempts,
        "first_response_at": rfc3339(row.first_response_at),
        "decisions": [
            {**one, "occurred_at": rfc3339(datetime.fromisoformat(one["occurred_at"]))} for one in row.decisions
        ],
    }
