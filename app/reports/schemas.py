"""Request and response models of reports, and of what tenants set for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from app.policy.shape import Like
from app.web.fields import Code, Day, RequestBody, ResponseBody, refuse
from app.web.money import Amount

Month = Annotated[
    str, Like("2026-01", "write a month from 1970 to 2199", r"^(19[7-9][0-9]|20[0-9]{2}|21[0-9]{2})-(0[1-9]|1[0-2])$")
]
Share = Annotated[float, Field(ge=0, le=1)]


class BandShape(ResponseBody):
    low: float
    high: float


class MetricOut(ResponseBody):
    """A number, and how it came about. Further members: docs/reports.md."""

    name: str
    from_milestone: str | None = Field(alias="from")
    to: str | None
    business: Literal["new", "existing"] | None = Field(description="Null counts both.")
    numerator: int
    denominator: int
    value: float | None = Field(description="To four places, half to even; null where the denominator is 0.")
    horizon_days: int | None
    mature: bool = Field(description="False while a row of the denominator is younger than the horizon.")
    band: BandShape | None
    in_band: bool | None


class GroupOut(ResponseBody):
    key: str | None
    metrics: list[MetricOut]


class ReportOut(ResponseBody):
    report: str
    from_day: str = Field(alias="from")
    to: str
    horizon_days: int | None = Field(description="As asked for; each metric says its own.")
    as_of: str
    policy_versions: list[int] = Field(
        description="The versions that were active in the window; where none was, the one by which the report counts."
    )
    groups: list[GroupOut]
    evidence_url: str


class CaseOut(ResponseBody):
    """A row of the denominator; in the report of accounts also its `account_id`."""

    journey_no: int | None
    lead_id: str | None
    opportunity_id: str | None
    counted: bool = Field(description="Whether it is in the numerator.")
    at: str


class EvidencePage(ResponseBody):
    data: list[CaseOut]
    next: str | None


class BandIn(RequestBody):
    """The range in which a rate is as it should be."""

    from_: Code = Field(alias="from", examples=["mql"])
    to: Code = Field(examples=["srl"])
    business: Literal["new", "existing"] | None = None
    low: Share = Field(examples=[0.2])
    high: Share = Field(examples=[0.4])


class BandsPut(RequestBody):
    """The tenant's own bands; those that it does not list are as the policy says."""

    bands: Annotated[list[BandIn], Field(max_length=200)]


class BandOut(ResponseBody):
    from_milestone: str = Field(alias="from")
    to: str
    business: str | None
    low: float
    high: float


class BandsOut(ResponseBody):
    bands: list[BandOut]


class CostPut(RequestBody):
    """What a campaign cost: in a month, or from a day to the day before another. An amount of null takes it back."""

    amount: Amount | None
    month: Month | None = None
    from_: Day | None = Field(default=None, alias="from", examples=["2026-01-01"])
    to: Day | None = Field(default=None, description="The day after the last one.", examples=["2026-02-01"])

    @model_validator(mode="after")
    def _one_period(self) -> Self:
        given = self.month is not None, self.from_ is not None, self.to is not None
        if given not in ((True, False, False), (False, True, True)):
            name = {(False, True, False): "to", (False, False, True): "from"}.get(given, "month")
            refuse(self, name, "period_missing", "write `month`, or `from` and `to`")
        return self


class CostOut(ResponseBody):
    """`from` and `to` are days in the tenant's time zone, `to` is the day after the last one."""

    from_: str = Field(alias="from")
    to: str
    amount: dict[str, str] | None
    actor: dict[str, Any]
    recorded_at: str


class CampaignCost(CostOut):
    campaign: str


class CostList(ResponseBody):
    """The costs that hold, of the latest periods first, at most 1,000."""

    campaign: str
    data: list[CostOut]
    next: None
