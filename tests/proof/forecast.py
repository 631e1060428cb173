"""The forecast of a period, recomputed from the event feed alone, in plain Python that imports nothing of app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

WEIGHTED = ("closed", "commit", "upside", "pipeline")
METRICS = (*WEIGHTED, "omitted", "weighted")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@dataclass
class Sums:
    """By metric and currency, and how many opportunities a metric counts."""

    amounts: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, metric: str, amount: Mapping[str, str] | None, share: Fraction = Fraction(1)) -> None:
        self.counts[metric] = self.counts.get(metric, 0) + 1
        if amount is not None:
            place = (metric, amount["currency"])
            self.amounts[place] = self.amounts.get(place, Fraction()) + Fraction(amount["value"]) * share


def last_states(events: Iterable[Mapping[str, Any]], as_of: datetime) -> list[dict[str, Any]]:
    """Each opportunity as its last event until the instant tells it; `won_at` is when it entered its stage."""
    states: dict[str, dict[str, Any]] = {}
    told = [one for one in events if one["type"] in ("opportunity.stage_changed", "opportunity.updated")]
    for event in sorted(told, key=lambda one: one["data"]["version"]):
        data = event["data"]
        if instant(data["recorded_at"]) > as_of:
            continue
        before = states.get(data["opportunity_id"], {})
        entered = data["occurred_at"] if event["type"] == "opportunity.stage_changed" else before["entered_at"]
        states[data["opportunity_id"]] = {**data, "entered_at": entered}
    return list(states.values())


def forecast(
    events: Iterable[Mapping[str, Any]], first: date, end: date, as_of: datetime, zone: str = "UTC"
) -> dict[str | None, Sums]:
    """By owner what counts from the day `first` to the day before `end`."""
    found: dict[str | None, Sums] = {}
    for state in last_states(events, as_of):
        is_won = state["class"] == "won"
        day = instant(state["entered_at"]).astimezone(ZoneInfo(zone)).date() if is_won else state["close_date"]
        day = date.fromisoformat(day) if isinstance(day, str) else day
        is_out = state["class"] == "lost" or (state["archived_at"] and not is_won)  # what was won stays won
        if is_out or day is None or not first <= day < end:
            continue
        category = "closed" if is_won else state["forecast_category"]
        sums = found.setdefault(state["owner_id"], Sums())
        sums.add(category, state["amount"])
        if category in WEIGHTED:
            sums.add("weighted", state["amount"], Fraction(state["probability"], 100))
    return found


def told(report: dict[str, Any]) -> dict[str | None, Sums]:
    """What the API says that each one owns."""
    found = {}
    for group in report["groups"]:
        sums = Sums()
        for metric in group["metrics"]:
            if metric["name"] in METRICS and metric["own"]["opportunities"]:
                sums.counts[metric["name"]] = metric["own"]["opportunities"]
                for amount in metric["own"]["amounts"]:
                    sums.amounts[metric["name"], amount["currency"]] = Fraction(amount["value"])
        if sums.counts:
            found[group["key"]] = sums
    return found
