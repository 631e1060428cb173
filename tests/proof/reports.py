"""Funnel, velocity, wins and pipeline from the event feed alone, in plain Python that imports nothing of app."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.proof.forecast import instant, last_states

DAY = 86_400


@dataclass
class Journey:
    """A journey: when it reached which milestone, and since when it is over without a conversion."""

    business: str | None = None
    seq: int = 0
    reached: dict[str, datetime] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    ended_at: datetime | None = None
    steps: list[Mapping[str, Any]] = field(default_factory=list)

    def apply(self, data: Mapping[str, Any]) -> None:
        """The milestones of a step, of the journey or of its opportunity."""
        for name in data["voided"]:
            self.reached.pop(name, None)
            self.skipped.discard(name)
        for one in data["reached"]:
            if one["name"] not in self.reached:
                self.reached[one["name"]] = instant(one["reached_at"])
                self.skipped |= {one["name"]} if one["skipped"] else set()

    def at(self, name: str, with_skipped: bool) -> datetime | None:
        return self.reached.get(name) if with_skipped or name not in self.skipped else None


@dataclass
class Deal:
    """The steps of an opportunity, the journey that it came from, and what it was after its last event."""

    journey_id: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    steps: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class Known:
    """What the events until an instant tell. `closed`: journeys that a merge closed, since another one went on.

    `stages`: the open stages of opportunities in the order of the policy, which is that of the report's metrics.
    """

    as_of: datetime
    journeys: dict[str, Journey] = field(default_factory=dict)
    deals: dict[str, Deal] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)

    def counted(self) -> Iterator[Journey]:
        return (journey for key, journey in self.journeys.items() if key not in self.closed)


@dataclass(frozen=True)
class Window:
    """The days of a report in the time zone of the tenant, as instants."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, report: Mapping[str, Any], zone: str) -> Window:
        days = (date.fromisoformat(report[name]) for name in ("from", "to"))
        return cls(*(datetime.combine(day, time(), ZoneInfo(zone)) for day in days))

    def holds(self, at: datetime) -> bool:
        return self.start <= at < self.end


def known(events: Iterable[Mapping[str, Any]], as_of: datetime) -> Known:
    """Folds the events in the order of the feed."""
    found, events = Known(as_of), list(events)
    for event in events:
        data = event["data"]
        if instant(event["timestamp"]) > as_of:
            continue
        if event["type"] == "lead.stage_changed":
            journey = found.journeys.setdefault(data["journey_id"], Journey())
            assert data["seq"] == journey.seq + 1, "the steps of a journey are told in order, without gaps"
            journey.seq, journey.business = data["seq"], data["business"]
            journey.ended_at = instant(data["occurred_at"]) if data["ends"] else None
            journey.steps.append(data)
            journey.apply(data)
        elif event["type"] == "opportunity.stage_changed":
            deal = found.deals.setdefault(data["opportunity_id"], Deal(data["journey_id"]))
            deal.steps.append(data)
            if deal.journey_id is not None:
                found.journeys[deal.journey_id].apply(data)
        elif event["type"] == "lead.merged":
            found.closed |= {data["closed_journey_id"]} - {None}
        elif event["type"] == "lead.unmerged":
            found.closed.discard(data["closed_journey_id"])
    for state in last_states(events, as_of):
        found.deals[state["opportunity_id"]].state = state
    return found


def rounded(value: Fraction | None) -> float | None:
    """To four places, half to even."""
    return None if value is None else float(round(value, 4))


def share(numerator: Fraction | int, denominator: Fraction | int) -> float | None:
    return rounded(Fraction(numerator) / Fraction(denominator)) if denominator else None


def pairs(
    found: Known, metric: Mapping[str, Any], window: Window, with_skipped: bool
) -> Iterator[tuple[Journey, datetime, datetime | None]]:
    """The journeys that reached the first milestone in the window: when, and when they reached the second one after."""
    for journey in found.counted():
        began = journey.at(metric["from"], with_skipped)
        if began is None or not window.holds(began) or metric["business"] not in (None, journey.business):
            continue
        reached = journey.at(metric["to"], with_skipped)
        yield journey, began, reached if reached is not None and reached >= began else None


def funnel(found: Known, metric: Mapping[str, Any], window: Window, with_skipped: bool) -> dict[str, Any]:
    days = metric["horizon_days"]
    horizon = timedelta(days=days) if days is not None else timedelta.max
    cases = [(began, reached) for _, began, reached in pairs(found, metric, window, with_skipped)]
    counted = [one for one in cases if one[1] is not None and one[1] - one[0] <= horizon]
    return {
        "numerator": len(counted),
        "denominator": len(cases),
        "value": share(len(counted), len(cases)),
        "mature": days is None or all(began + horizon <= found.as_of for began, _ in cases),
    }


Case = tuple[datetime, datetime | None, datetime | None]


def until_reached(found: Known, metric: Mapping[str, Any], window: Window, with_skipped: bool) -> Iterator[Case]:
    """When journeys reached the first milestone, the second one, and the end without it."""
    for journey, began, reached in pairs(found, metric, window, with_skipped):
        ends = [at for at in (journey.at("lost", with_skipped), journey.ended_at) if at is not None]
        yield began, reached, min(ends, default=None)


def until_left(found: Known, stage: str, window: Window) -> Iterator[tuple[datetime, datetime | None, None]]:
    """When journeys entered the stage, and when they left it for another one."""
    for journey in found.counted():
        for number, step in enumerate(journey.steps):
            began = instant(step["occurred_at"])
            if step["to"] == stage != step["from"] and window.holds(began):
                left = (instant(one["occurred_at"]) for one in journey.steps[number:] if one["to"] != stage)
                yield began, next(left, None), None


def velocity(found: Known, metric: Mapping[str, Any], window: Window, with_skipped: bool) -> dict[str, Any]:
    """By Kaplan and Meier: who has not reached the milestone is seen until its journey ended, or until now."""
    of_stage = metric["name"].startswith("in_")
    stage = metric["name"].removeprefix("in_")
    cases = list(until_left(found, stage, window) if of_stage else until_reached(found, metric, window, with_skipped))
    return times_of(cases, found.as_of)


def times_of(cases: Sequence[Case], as_of: datetime) -> dict[str, Any]:
    times = [
        (max((reached or ended or as_of) - began, timedelta()) // timedelta(microseconds=1), reached is not None)
        for began, reached, ended in cases
    ]
    n_open = sum(reached is None and ended is None for _, reached, ended in cases)
    seconds = [(Fraction(time, 1_000_000), is_reached) for time, is_reached in times]
    median, p90 = (rounded(quantile(seconds, share)) for share in (Fraction(1, 2), Fraction(1, 10)))
    return {
        "numerator": sum(is_reached for _, is_reached in times),
        "denominator": len(times),
        "value": median,
        "median_days": median,
        "p90_days": p90,
        "remaining": {str(one): rounded(quantile(seconds, Fraction(one, 100))) for one in range(90, 0, -10)},
        "n": len(times),
        "n_open": n_open,
        "mature": n_open == 0,
    }


def quantile(times: Iterable[tuple[Fraction, bool]], wanted: Fraction) -> Fraction | None:
    """The days after which at most the share `wanted` had not reached it; those that end at one time reach it first."""
    waiting, left = Fraction(1), sorted(times, key=lambda one: (one[0], not one[1]))
    for index, (seconds, is_reached) in enumerate(left):
        if is_reached:
            waiting *= Fraction(len(left) - index - 1, len(left) - index)
            if waiting <= wanted:
                return seconds / DAY
    return None


def wins(found: Known, metric: Mapping[str, Any], window: Window, with_skipped: bool) -> dict[str, Any]:
    """Of the deals that were qualified and that are closed since the window, how many are won, with their amounts."""
    closed = [
        deal.steps[-1]
        for deal in found.deals.values()
        if deal.journey_id not in found.closed
        and deal.steps[-1]["class"] in ("won", "lost")
        and window.holds(instant(deal.steps[-1]["occurred_at"]))
        and any(step["class"] == "qualified" for step in deal.steps[:-1])
    ]
    closed = [step for step in closed if metric["business"] in (None, step["evidence"]["business"])]
    won = [step for step in closed if step["class"] == "won"]
    sums = {
        currency: (of_currency(won, currency), of_currency(closed, currency))
        for currency in sorted(
            {step["evidence"]["amount"]["currency"] for step in closed if step["evidence"]["amount"] is not None}
        )
    }
    return {
        "numerator": len(won),
        "denominator": len(closed),
        "value": share(len(won), len(closed)),
        "by_value": [
            {"currency": currency, "won": of_won, "closed": of_closed, "value": share(of_won, of_closed)}
            for currency, (of_won, of_closed) in sums.items()
        ],
    }


def pipeline(found: Known, metric: Mapping[str, Any], window: Window, with_skipped: bool) -> dict[str, Any]:
    """Volume and value of what is open; how long, and how many, of what entered a stage until it went further."""
    kind, deals = metric["name"].partition("_")[0], list(split(found, metric))
    if kind in ("velocity", "conversion"):
        cases = [
            case for deal in deals for case in until_moved_on(found, deal, metric["from"]) if window.holds(case[0])
        ]
        times = times_of(cases, found.as_of)
        if kind == "velocity":
            return times
        counts = {name: times[name] for name in ("numerator", "denominator", "mature")}
        return {**counts, "value": share(counts["numerator"], counts["denominator"])}
    states = [deal.state for deal in deals]
    still = [one for one in states if one["class"] == metric["from"] and one["archived_at"] is None]
    if kind == "volume":
        return {"numerator": len(still), "denominator": len(still), "value": len(still) or None}
    amounts = [one["amount"] for one in still if one["amount"] is not None]
    sums = {currency: Fraction() for currency in sorted(one["currency"] for one in amounts)}
    for one in amounts:
        sums[one["currency"]] += Fraction(one["value"])
    return {"numerator": len(amounts), "denominator": len(still), "value": None, "amounts": list(sums.items())}


def split(found: Known, metric: Mapping[str, Any]) -> Iterator[Deal]:
    """The opportunities of new or existing business, and those that came from a lead or from none."""
    for deal in found.deals.values():
        origin = "none" if deal.state["lead_id"] is None else "lead"
        if (
            deal.journey_id not in found.closed
            and metric["business"] in (None, deal.state["business"])
            and metric["origin"] in (None, origin)
        ):
            yield deal


def until_moved_on(found: Known, deal: Deal, stage: str) -> Iterator[Case]:
    """When the opportunity first entered the stage, was moved on to a later one or won, and lost or archived."""
    steps = sorted(deal.steps, key=lambda one: one["seq"])
    later, is_won = found.stages[found.stages.index(stage) + 1 :], deal.state["class"] == "won"
    for place, step in enumerate(steps):
        if step["to"] == stage:
            further = [one for one in steps[place + 1 :] if one["to"] in later or (one["class"] == "won" and is_won)]
            ended = deal.state["entered_at"] if deal.state["class"] == "lost" else deal.state["archived_at"]
            moved_on = min((instant(one["occurred_at"]) for one in further), default=None)
            yield instant(step["occurred_at"]), moved_on, None if ended is None else instant(ended)
            return


def of_currency(steps: Iterable[Mapping[str, Any]], currency: str) -> Fraction:
    amounts = (step["evidence"]["amount"] for step in steps)
    return sum((Fraction(one["value"]) for one in amounts if one and one["currency"] == currency), Fraction())


def told(metric: Mapping[str, Any]) -> dict[str, Any]:
    """What the API says of a metric, with amounts as numbers."""
    shown = dict(metric)
    if "amounts" in metric:
        shown["amounts"] = [(one["currency"], Fraction(one["value"])) for one in metric["amounts"]]
    if "by_value" in metric:
        shown["by_value"] = [
            {
                "currency": one["closed"]["currency"],
                **{name: Fraction(one[name]["value"]) for name in ("won", "closed")},
                "value": one["value"],
            }
            for one in metric["by_value"]
        ]
    return shown


COMPUTED = {"funnel": funnel, "velocity": velocity, "wins": wins, "pipeline": pipeline}


def differences(
    report: Mapping[str, Any], events: Iterable[Mapping[str, Any]], zone: str = "UTC", with_skipped: bool = True
) -> list[str]:
    """Where a report without groups is other than what follows from the events, in words; an empty list if nowhere."""
    found, window = known(events, instant(report["as_of"])), Window.of(report, zone)
    [group] = report["groups"]
    names = [one["name"] for one in group["metrics"]]
    found.stages = [one.removeprefix("velocity_") for one in names if one.startswith("velocity_") and ":" not in one]
    wrong = []
    for metric in group["metrics"]:
        expected, shown = COMPUTED[report["report"]](found, metric, window, with_skipped), told(metric)
        wrong += [
            f"{report['report']}, {metric['name']}, {name}: the API says {shown[name]}, by the events it is {value}"
            for name, value in expected.items()
            if shown[name] != value
        ]
    return wrong
