"""Request and response models of merging and of possible duplicates."""

from __future__ import annotations

from typing import Any, Literal

from app import ids
from app.database.transaction import Record
from app.leads.schemas import LeadOut
from app.web.fields import LeadId, RequestBody, ResponseBody, rfc3339

State = Literal["open", "not_duplicate", "merged"]
SUMMARY = ("full_name", "first_name", "last_name", "email", "phone", "company", "domain")


class MergeIn(RequestBody):
    into: LeadId


class VerdictIn(RequestBody):
    """`into`: the lead that remains; without it the one with an open journey, further advanced, older."""

    verdict: Literal["merge", "not_duplicate"]
    into: LeadId | None = None


class DuplicateReason(ResponseBody):
    reason: str
    score: int


class LeadSummary(ResponseBody):
    id: str
    stage: str | None
    fields: dict[str, str | None]
    merged_into: str | None
    created_at: str


class DuplicateOut(ResponseBody):
    id: str
    version: int
    state: State
    score: int
    reasons: list[DuplicateReason]
    leads: list[LeadSummary]
    decided_by: dict[str, Any] | None
    decided_at: str | None
    created_at: str
    updated_at: str


class DuplicatePage(ResponseBody):
    data: list[DuplicateOut]
    next: str | None


class VerdictOut(ResponseBody):
    duplicate: DuplicateOut
    lead: LeadOut


def show_duplicate(row: Record) -> dict[str, Any]:
    """A pair of possible duplicates, with what tells the two leads apart."""
    return {
        "id": ids.show("duplicate", row.id),
        "version": row.version,
        "state": row.state,
        "score": row.score,
        "reasons": row.reasons,
        "leads": [_lead(row, prefix) for prefix in ("one", "other")],
        "decided_by": row.decided_by,
        "decided_at": rfc3339(row.decided_at),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def _lead(row: Record, prefix: str) -> dict[str, Any]:
    lead = {name: getattr(row, f"{prefix}_{name}") for name in ("id", "stage", "fields", "merged_into", "created_at")}
    return {
        "id": ids.show("lead", lead["id"]),
        "stage": lead["stage"],
        "fields": {name: lead["fields"].get(name) for name in SUMMARY},
        "merged_into": ids.shown("lead", lead["merged_into"]),
        "created_at": rfc3339(lead["created_at"]),
    }
