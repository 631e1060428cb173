"""Response models of conversions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.web.fields import Shape

Outcome = Literal["created", "linked", "none"]


class Made(Shape):
    id: str | None
    outcome: Outcome


class MadeOpportunity(Made):
    class_: Literal["unqualified", "qualified"] | None = Field(alias="class")


class FieldOutcome(Shape):
    field: str
    target: str | None
    outcome: Literal["copied", "filled", "kept_existing", "overwritten", "unmapped"]


class Conversion(Shape):
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


class ConversionOut(Shape):
    conversion: Conversion


class Blocked(Shape):
    code: str
    detail: str


class Previewed(Shape):
    outcome: Outcome | None
    id: str | None


class Preview(Shape):
    possible: bool
    blocked: list[Blocked]
    account: Previewed
    contact: Previewed
    opportunity: Previewed
    field_outcomes: list[FieldOutcome]


class BatchResult(Shape):
    index: int
    lead_id: str
    status: int
    conversion: Conversion | None = None
    problem: dict[str, Any] | None = None


class BatchOut(Shape):
    results: list[BatchResult]
