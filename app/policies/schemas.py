"""Request and response models of policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import Field, StringConstraints

from app import ids
from app.database.transaction import Record
from app.policies.approve import missing_sides
from app.policies.warned import PolicyWarning, show_warnings
from app.web.fields import Instant, RequestBody, ResponseBody, rfc3339

PolicyState = Literal["draft", "proposed", "active", "retired"]
PolicyDocument = Annotated[dict[str, Any], Body(description="A whole policy document.")]
StageName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class PolicyActivation(RequestBody):
    effective_from: Instant | None = Field(default=None, description="When it becomes active; left out: now.")
    mapping: dict[StageName, StageName] = Field(
        default_factory=dict,
        max_length=100,
        description="From each stage that this policy lacks, and in which journeys stand, to the stage they move to.",
    )


class PolicySummary(ResponseBody):
    id: str
    number: int
    name: str
    state: PolicyState
    origin: Literal["shipped", "own"]
    sha256: str = Field(description="The hash of the document, which approvals are given for.")
    effective_from: str | None = Field(description="When it became active, or is planned to become so.")
    activated_at: str | None
    review_due_at: str | None
    created_at: str
    updated_at: str


class PolicyApproval(ResponseBody):
    side: Literal["marketing", "sales"]
    user_id: str
    role: str
    sha256: str
    approved_at: str


class PolicyOut(PolicySummary):
    approvals: list[PolicyApproval]
    approvals_missing: list[Literal["marketing", "sales"]]
    mapping: dict[str, str] | None
    activation_refused: dict[str, Any] | None = Field(
        description="The problem because of which the planned activation did not happen."
    )
    document: dict[str, Any]
    warnings: list[PolicyWarning]


class PolicyPage(ResponseBody):
    data: list[PolicySummary]
    next: str | None


def show_summary(row: Record) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in ("number", "name", "state", "origin", "sha256")}
    instants = ("effective_from", "activated_at", "review_due_at", "created_at", "updated_at")
    return {"id": ids.show("policy", row.id), **plain, **{name: rfc3339(getattr(row, name)) for name in instants}}


def show_policy(row: Record, approvals: Sequence[Record]) -> dict[str, Any]:
    shown = [
        {
            "side": one.side,
            "user_id": ids.show("user", one.user_id),
            "role": one.role,
            "sha256": one.sha256,
            "approved_at": rfc3339(one.approved_at),
        }
        for one in approvals
    ]
    state = {"approvals": shown, "approvals_missing": missing_sides(row, approvals)}
    plain = {name: getattr(row, name) for name in ("mapping", "activation_refused", "document")}
    return {**show_summary(row), **state, **plain, "warnings": show_warnings(row.document)}
