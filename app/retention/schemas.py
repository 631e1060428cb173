"""Bodies and answers of /v1/retention."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.web.fields import RequestBody, ResponseBody

Days = Annotated[int, Field(ge=1, le=36_500)]
QuietDays = Annotated[int, Field(ge=30, le=36_500)]
KEPT = "Null: kept for good."
KEPT_BY_ALL = "Null: kept as long as the operator keeps those of all tenants (`BATON_ATTEMPT_DAYS`, 14)."


class RetentionPut(RequestBody):
    """For how many days of 24 hours what is kept. What is left out has its default; null stands for: for good."""

    raw_days: Days | None = Field(
        default=90, description="The requests of submissions that were processed, as they came.", examples=[90]
    )
    quarantined_days: Days | None = Field(
        default=None, description="Submissions in quarantine: request and mapped values.", examples=[180]
    )
    spam_days: Days | None = Field(
        default=None, description="Submissions taken for spam: request and mapped values.", examples=[30]
    )
    attempts_days: Days | None = Field(
        default=None, description="Attempts of deliveries that succeeded or were given up.", examples=[30]
    )
    unqualified_days: QuietDays | None = Field(
        default=None,
        description="Leads that never qualified, after the last sign of interest: at least 30 days.",
        examples=[730],
    )
    audit_days: Days | None = Field(default=None, description="Rows of the audit log.", examples=[730])

    def periods(self) -> dict[str, Any]:
        """What was set."""
        return self.model_dump(exclude_unset=True)


class RetentionRun(ResponseBody):
    """A run that has ended, and how many rows of each kind it removed."""

    started_at: str
    ended_at: str
    removed: dict[str, int]


class RetentionOut(ResponseBody):
    raw_days: int | None = Field(description=KEPT)
    quarantined_days: int | None = Field(description=KEPT)
    spam_days: int | None = Field(description=KEPT)
    attempts_days: int | None = Field(description=KEPT_BY_ALL)
    unqualified_days: int | None = Field(description=KEPT)
    audit_days: int | None = Field(description=KEPT)
    next_run_at: str | None = Field(description="When the next run begins, or the one under way goes on.")
    latest: RetentionRun | None


class RetentionPreview(ResponseBody):
    """How many rows of each kind a run would remove now; null for what is kept for good."""

    would_remove: dict[str, int | None]
