"""Request and response models of submissions (api.md, sections 3 and 4)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.sources import document
from app.web.fields import Instant, LeadId, Shape, SourceId, SubmissionId, Write

State = Literal["received", "processed", "quarantined"]
Verdict = Literal[document.Verdict, "duplicate", "quarantined"]


class Replay(Write):
    """Which submissions of a source to process again: the quarantined ones or all, within a time range."""

    all: bool = False
    received_after: Instant | None = None
    received_before: Instant | None = None


class ItemOut(Shape):
    index: int
    verdict: Verdict
    submission_key: str | None
    lead_id: LeadId | None
    reason: str | None


class SubmissionOut(Shape):
    id: SubmissionId
    source_id: SourceId
    state: State
    received_at: str
    processed_at: str | None
    sha256: str = Field(description="SHA-256 of the body as received, in hex.")
    items: list[ItemOut]


class SubmissionPage(Shape):
    data: list[SubmissionOut]
    next: str | None


class RawOut(Shape):
    """The body is in `body` when it is UTF-8, else in `body_base64`."""

    method: str
    query: str
    headers: dict[str, str]


class AcceptedSubmission(Shape):
    id: SubmissionId
    state: State


class Accepted(Shape):
    submission: AcceptedSubmission


class Replayed(Shape):
    """How many submissions will be processed again; `more`: the limit was reached, so repeat the request."""

    replayed: int
    more: bool


class Waited(Shape):
    submission: dict[str, Any]
