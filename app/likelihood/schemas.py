"""Answers about models and likelihoods."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.database.transaction import Record
from app.web.fields import ResponseBody, rfc3339


class TraitOut(ResponseBody):
    trait: str = Field(examples=["seniority"])
    value: str = Field(examples=["director"])
    weight: float = Field(description="What the value changes in the log odds, relative to the average case.")


class LikelihoodOut(ResponseBody):
    probability: float | None = Field(description="Null while there is no model.")
    base_rate: float | None = Field(description="The share of the tenant's finished journeys that ended well.")
    lift: float | None = Field(description="`probability` divided by `base_rate`.")
    model: int | None
    raises: list[TraitOut] = Field(description="The five traits that raise the probability most.")
    lowers: list[TraitOut] = Field(description="The five traits that lower it most.")
    missing: dict[str, int] = Field(
        description="How many good and bad journeys have to end before the first model can be trained."
    )


class ModelSummary(ResponseBody):
    version: int
    state: Literal["queued", "ready", "failed"]
    requested_at: str
    trained_at: str | None
    sha256: str | None = Field(description="Of the model's document: the same cases give the same one.")


class ModelOut(ModelSummary):
    kind: Literal["naive_bayes", "logistic"] | None
    period: dict[str, str] | None
    cases: dict[str, int] | None
    base_rate: float | None
    bias: float | None
    weights: dict[str, dict[str, float]] | None
    held_back: dict[str, Any] | None = Field(
        description="How a model of the earlier cases did on the last quarter: AUC, that of the points, Brier score,"
        " calibration. Null where that quarter has fewer than five cases of a kind."
    )


class ModelPage(ResponseBody):
    data: list[ModelSummary]
    next: str | None


def show_summary(row: Record) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": row.state,
        "requested_at": rfc3339(row.requested_at),
        "trained_at": rfc3339(row.trained_at) if row.trained_at else None,
        "sha256": row.sha256,
    }


def show_model(row: Record) -> dict[str, Any]:
    document = row.document or {}
    names = ("kind", "period", "cases", "base_rate", "bias", "weights", "held_back")
    return {**show_summary(row), **{name: document.get(name) for name in names}}
