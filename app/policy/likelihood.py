"""The traits of a lead by which a model judges it, and the condition word `likelihood`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from app.policy.facts import Activity, Facts
from app.policy.model import NONE
from app.policy.view import ConditionBase, Part, Unmet, View, days_after, leaf

NAMED: Final = ("kind", "seniority", "role", "industry", "country", "language")
EMPLOYEES: Final = ((9, "1-9"), (49, "10-49"), (199, "50-199"), (999, "200-999"))
COUNTS: Final = ((0, "0"), (1, "1"), (2, "2"), (5, "3-5"))
DAYS: Final = ((1, "1 day"), (7, "7 days"), (30, "30 days"), (90, "90 days"))
RECENT_DAYS: Final = 30
MAX_VALUE: Final = 60


def traits(facts: Facts, now: datetime) -> dict[str, str]:
    """What is known of the lead at `now`, each trait as one of few values; activities after `now` are left out."""
    fields, touch = facts.fields, facts.first_touch or {}
    found = {name: _word(fields.get(name)) for name in NAMED}
    found |= {f"touch.{name}": _word(touch.get(name)) for name in ("source", "medium")}
    found["channel"] = _word(fields.get("channel"))
    found["company_size"] = company_size(fields.get("employees")) or NONE
    found["email"] = NONE if not fields.get("email") else "free mail" if fields.get("free_mail") else "company"
    return found | _interest(interests(facts, now), now)


def company_size(employees: object) -> str | None:
    """The size of a company as one of few bands; None where it is not known."""
    return _band(employees, EMPLOYEES, "1000+") if isinstance(employees, int) else None


def interests(facts: Facts, now: datetime) -> list[Activity]:
    """The activities of interest up to `now`."""
    return [one for one in facts.activities if one.kind == "interest" and one.occurred_at <= now]


def _interest(activities: list[Activity], now: datetime) -> dict[str, str]:
    last: dict[str, datetime] = {}
    for one in activities:
        last[one.type] = max(one.occurred_at, last.get(one.type, one.occurred_at))
    recent = timedelta(days=RECENT_DAYS)
    found = {f"activity.{type_}": "30 days" if now - at <= recent else "before" for type_, at in last.items()}
    found["activities"] = _band(len(activities), COUNTS, "6+")
    newest = max(last.values(), default=None)
    found["last_activity"] = NONE if newest is None else _age(now - newest)
    return found


def _age(age: timedelta) -> str:
    return next((name for days, name in DAYS if age <= timedelta(days=days)), "longer ago")


def _word(value: object) -> str:
    return " ".join(value.casefold().split())[:MAX_VALUE] or NONE if isinstance(value, str) else NONE


def _band(value: object, bands: tuple[tuple[int, str], ...], above: str) -> str:
    if not isinstance(value, int):
        return NONE
    place = bisect_left([most for most, _ in bands], value)
    return bands[place][1] if place < len(bands) else above


def probability(view: View) -> float | None:
    """How likely the lead is to become a customer by the tenant's newest model, as it is shown; None without one."""
    model = view.facts.model
    return None if model is None else model.shown(traits(view.facts, view.now))


class AtLeastProbability(Part):
    at_least: Annotated[float, Field(gt=0, lt=1)]


class Likelihood(ConditionBase):
    """The tenant's newest model gives the lead at least this probability; false while there is no model."""

    likelihood: AtLeastProbability

    def unmet(self, view: View) -> list[Unmet]:
        have, need = probability(view), self.likelihood.at_least
        if have is not None and have >= need:
            return []
        return leaf("likelihood", have, need)

    @property
    def timed(self) -> bool:
        return True

    def changes(self, view: View) -> Iterator[datetime]:
        for one in interests(view.facts, view.now) if view.facts.model else ():
            for days, _ in DAYS:
                yield days_after(one.occurred_at, days)
