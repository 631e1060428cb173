"""Bodies and answers of back-tests."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.web.fields import Instant, Omittable, RequestBody, ResponseBody

Listed = Literal["baseline", "candidate", "added", "removed", "baseline_missed_won", "candidate_missed_won"]


class BacktestIn(RequestBody):
    from_: Omittable[Instant] = Field(default=None, alias="from", description="180 days before `to` if it is left out.")
    to: Omittable[Instant] = Field(default=None, description="Now, if it is left out; never later.")


class Share(ResponseBody):
    value: float | None = Field(description="`numerator` divided by `denominator`; null where that is 0.")
    numerator: int
    denominator: int


class Shares(ResponseBody):
    sql: Share
    won: Share


class Week(ResponseBody):
    week: str = Field(description="Its Monday, in UTC.", examples=["2026-03-02"])
    mql: int
    per_sdr: float | None = Field(description="`mql` divided by the active users who get MQLs; null without any.")


class SideOut(ResponseBody):
    """What a policy would have done in the window, and what became of it."""

    mql: int = Field(description="Journeys that the policy would have made MQLs in the window.")
    accepted_rate: Share = Field(description="Of these, the share that sales took on.")
    sql: int = Field(description="Of these, how many reached SQL.")
    won: int = Field(description="Of these, how many were won.")
    precision: Shares = Field(description="The same as shares of `mql`.")
    recall: Shares = Field(description="Of all journeys at stake that reached SQL or won, the share that it caught.")
    missed_won: list[str] = Field(description="Leads that were won, and that it would not have made MQLs: the first.")
    weekly_load: list[Week]


class CandidateOut(SideOut):
    added: list[str] = Field(description="Leads that only the candidate makes MQLs: the first.")
    removed: list[str] = Field(description="Leads that only the active policy makes MQLs: the first.")


class BacktestSummary(ResponseBody):
    id: str
    kind: Literal["backtest", "shadow"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    policy_id: str
    baseline_id: str = Field(description="The policy that was active when it was asked for.")
    sha256: str = Field(description="Of the candidate's document, as it is compared.")
    from_: str = Field(alias="from")
    to: str | None = Field(description="Null for a shadow run.")
    leads: int
    leads_done: int
    progress: float = Field(description="0 to 1; 1 once all leads were looked at.")
    fault: str | None
    created_at: str
    updated_at: str
    finished_at: str | None


class BacktestPage(ResponseBody):
    data: list[BacktestSummary]
    next: str | None


class BacktestOut(BacktestSummary):
    baseline: SideOut
    candidate: CandidateOut


class JourneyOut(ResponseBody):
    lead_id: str
    journey_id: str
    baseline_at: str | None = Field(description="When it became an MQL under the active policy; beside it, when that")
    baseline_known_at: str | None = Field(description="could be known, which is later where something came in late.")
    candidate_at: str | None
    candidate_known_at: str | None
    actual_at: str | None = Field(description="When it became an MQL in fact, also by a person.")
    accepted: bool
    sql: bool
    won: bool


class JourneyPage(ResponseBody):
    data: list[JourneyOut]
    next: str | None
