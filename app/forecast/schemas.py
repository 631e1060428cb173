"""Request and response models of the forecast."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.policy.shape import Like
from app.web.fields import Note, RequestBody, ResponseBody, UserId, refuse
from app.web.money import DECIMALS, Money

Amounts = list[dict[str, str]]


def _currency(code: str) -> str:
    if code not in DECIMALS:
        raise PydanticCustomError("currency_unknown", "write the ISO 4217 code of a currency, like EUR")
    return code


def _positive(rate: str) -> str:
    if not Decimal(rate):
        raise PydanticCustomError("rate_zero", "a rate must be greater than 0")
    return rate


def _not_negative(value: Money) -> Money:
    if value.amount < 0:
        raise PydanticCustomError("amount_negative", "an amount must not be negative")
    return value


Currency = Annotated[str, AfterValidator(_currency)]
Rate = Annotated[
    str,
    Like(
        "0.9213",
        "write a rate as text, with at most 10 digits before the point and 10 after it",
        r"^[0-9]{1,10}(\.[0-9]{1,10})?$",
    ),
    AfterValidator(_positive),
]
Amount = Annotated[Money, AfterValidator(_not_negative)]
PeriodName = Annotated[str, Field(max_length=10, examples=["2026-Q4"])]


class QuotaPut(RequestBody):
    """A quota of a person for a period; null takes it back."""

    period: PeriodName
    user_id: UserId
    amount: Amount | None


class QuotasPut(RequestBody):
    quotas: Annotated[list[QuotaPut], Field(min_length=1, max_length=500)]


class RatesPut(RequestBody):
    """Rates of exchange: `{"USD": "0.92"}` says that 1 USD is worth 0.92 of `currency`. They replace earlier ones."""

    currency: Currency = Field(examples=["EUR"])
    rates: Annotated[dict[Currency, Rate], Field(max_length=200)] = Field(examples=[{"USD": "0.9213"}])

    @model_validator(mode="after")
    def _others(self) -> Self:
        if self.currency in self.rates:
            sentence = "the rate of `currency` itself is 1: leave it out of `rates`"
            refuse(self, f"rates.{self.currency}", "rate_of_itself", sentence)
        return self


class JudgementPut(RequestBody):
    """What a person and his people will close, by the judgement of somebody who knows; null: no judgement."""

    commit: Amount | None = None
    upside: Amount | None = None
    note: Note | None = None


class QuotaOut(ResponseBody):
    period: str
    user_id: str
    amount: dict[str, str] | None
    recorded_at: str


class QuotaList(ResponseBody):
    data: list[QuotaOut]
    next: None


class RatesOut(ResponseBody):
    currency: str
    rates: dict[str, str]
    recorded_at: str


class CurrentRates(ResponseBody):
    """The rates that hold; null where none were set."""

    rates: RatesOut | None


class Judgement(ResponseBody):
    commit: dict[str, str] | None
    upside: dict[str, str] | None
    note: str | None
    actor: dict[str, Any]
    recorded_at: str


class JudgementOut(Judgement):
    period: str
    user_id: str


class JudgementHistory(ResponseBody):
    """The judgements, newest first, at most 200."""

    period: str
    user_id: str
    data: list[Judgement]


class PeriodOut(ResponseBody):
    """`from` and `to` are days in the time zone of the tenant, `to` is the day after the last one."""

    name: str
    from_: str = Field(alias="from")
    to: str


class ForecastMetric(ResponseBody):
    """A sum: of the person and all below in `amounts`, of the person alone in `own`.

    `converted` and `without_rate` are there where the tenant has set rates.
    """

    name: str
    opportunities: int | None
    amounts: Amounts
    converted: dict[str, str] | None
    without_rate: list[str]
    own: dict[str, Any]


class ForecastGroup(ResponseBody):
    """A person; `key` null: opportunities of nobody."""

    key: str | None
    manager_id: str | None
    level: int
    metrics: list[ForecastMetric]
    judgement: Judgement | None


class ForecastOut(ResponseBody):
    report: str
    period: PeriodOut
    as_of: str
    policy_versions: list[int]
    rates: RatesOut | None
    groups: list[ForecastGroup]
    evidence_url: str


class ForecastEvidence(ResponseBody):
    opportunity_id: str
    lead_id: str | None
    journey_no: int | None
    owner_id: str | None
    owner_name: str | None = Field(description="As of the instant.")
    stage: str
    forecast_category: str
    probability: int
    amount: dict[str, str] | None
    close_date: str | None
    counted: bool
    at: str


class ForecastEvidencePage(ResponseBody):
    data: list[ForecastEvidence]
    next: str | None


class ChangePart(ResponseBody):
    """`amounts` is the sum of `by_category` without `omitted`."""

    name: str
    opportunities: int
    amounts: Amounts
    by_category: dict[str, Amounts]


class ChangesOut(ResponseBody):
    report: str
    period: PeriodOut
    since: str
    since_at: str
    as_of: str
    before: dict[str, Amounts]
    after: dict[str, Amounts]
    difference: dict[str, Amounts]
    parts: list[ChangePart]
    evidence_url: str


class ChangeEvidence(ResponseBody):
    opportunity_id: str
    by_category: dict[str, Amounts]


class ChangeEvidencePage(ResponseBody):
    data: list[ChangeEvidence]
    next: str | None


class SnapshotOut(ResponseBody):
    week: str
    at: str


class SnapshotList(ResponseBody):
    """The snapshots there are, newest first, at most 200."""

    data: list[SnapshotOut]
    next: None
