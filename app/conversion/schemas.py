"""Response models of conversions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.web.fields import ResponseBody

Outcome = Literal["created", "linked", "none"]


class Made(ResponseBody):
    id: str | None
    outcome: Outcome


class MadeOpportunity(Made):
    class_: Literal["unqualified", "qualified"] | None = Field(alias="class")


class FieldOutcome(ResponseBody):
    field: str
    target: str | None
    outcome: Literal["copied", "filled", "kept_existing", "overwritten", "unmapped"]


class Conversion(ResponseBody):
    id: str
    lead_id: str
    journey_no: int
    converted_at: str
    policy_version: int
    verified_by: str | None
    account: Made
    contact: Made
    opportunity: MadeOpportunity
    field_outcomes: list[FieldOutcome]
    transition_id: str
    carry_activities: bool
    reverted_at: str | None


class ConversionOut(ResponseBody):
    conversion: Conversion


class Blocked(ResponseBody):
    code: str
    detail: str


class Previewed(ResponseBody):
    outcome: Outcome | None
    id: str | None


class Preview(ResponseBody):
    possible: bool
    blocked: list[Blocked]
    account: Previewed
    contact: Previewed
    opportunity: Previewed
    field_outcomes: list[FieldOutcome]


class BatchResult(ResponseBody):
    index: int
    lead_id: str
    status: int
    conversion: Conversion | None = None
    problem: dict[str, Any] | None = None


class BatchOut(ResponseBody):
    results: list[BatchResult]
