"""Request and response models of submissions (api.md, sections 3 and 4)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.sources import document
from app.web.fields import Instant, LeadId, Omittable, RequestBody, ResponseBody, SourceId, SubmissionId

# `listed`: rows of an imported list that wait for their turn; `arriving`: the same while the list is being received.
State = Literal["received", "processed", "quarantined", "listed", "expired"]
AnyState = Literal[State, "arriving"]
Verdict = Literal[document.Verdict, "duplicate", "revised", "quarantined", "suppressed"]


class Replay(RequestBody):
    """Which submissions of a source to process again: the quarantined ones or all, within a time range."""

    all: bool = False
    received_after: Omittable[Instant] = None
    received_before: Omittable[Instant] = None


class ItemOut(ResponseBody):
    index: int
    verdict: Verdict
    submission_key: str | None
    lead_id: LeadId | None
    reason: str | None


class ReviewIn(RequestBody):
    """What a person has found of a submission with the verdict `spam`."""

    verdict: Literal["not_spam"]


class Review(ResponseBody):
    verdict: Literal["not_spam"]
    actor: dict[str, Any]
    at: Instant


class SubmissionOut(ResponseBody):
    id: SubmissionId
    source_id: SourceId
    state: AnyState
    received_at: str
    processed_at: str | None
    emptied_at: str | None = Field(description="When its request was removed, because its time of retention was over.")
    sha256: str = Field(description="SHA-256 of the body as received, in hex; for rows of a list, of the file.")
    bot_check: Literal["waiting", "passed", "failed", "unverified"] | None = Field(
        description="Of a source with `bot_check`: whether the service says that a person has sent the form."
    )
    review: Review | None
    items: list[ItemOut]


class SubmissionPage(ResponseBody):
    data: list[SubmissionOut]
    next: str | None


class RawOut(ResponseBody):
    """The body is in `body` when it is UTF-8, else in `body_base64`."""

    method: str
    query: str
    headers: dict[str, str]


class AcceptedSubmission(ResponseBody):
    id: SubmissionId
    state: AnyState


class Accepted(ResponseBody):
    submission: AcceptedSubmission


class Replayed(ResponseBody):
    """How many submissions will be processed again; `more`: the limit was reached, so repeat the request."""

    replayed: int
    more: bool


class DayOfVolume(ResponseBody):
    on: str
    verdicts: dict[str, int] = Field(
        description="How many items have each verdict; a submission without items counts by its state: `received`, "
        "`listed`, `quarantined`, or `processed` where there was nothing in it."
    )


class VolumeOut(ResponseBody):
    time_zone: str = Field(description="That of the tenant, by whose days is counted.")
    complete: bool = Field(description="False where only the newest 50,000 submissions were counted.")
    days: list[DayOfVolume]


class Waited(ResponseBody):
    submission: dict[str, Any]
