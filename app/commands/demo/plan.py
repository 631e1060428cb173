"""Generates the leads of half a year: form fills, activities, and the steps that users take. No I/O.

The steps of a lead are allowed by the shipped policy `waterfall` and in chronological order. A lead ends with its last
step before the end of the half year, so recent leads are in early stages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from app.commands.demo.people import Invented, companies, person

DAYS: Final = 182
SOURCES: Final = ("typeform", "tally", "website")
CAMPAIGNS: Final = ("spring", "autumn", "webinar-series", "fair", "price-list", "newsletter")
CHANNELS: Final = (
    ("linkedin", "paid"),
    ("google", "cpc"),
    ("newsletter", "email"),
    ("partner", "referral"),
    ("google", "organic"),
)
RECYCLED_FOR: Final = ("timing", "no_budget_yet", "needs_info", "not_decision_maker")
CLOSED_FOR: Final = ("bad_fit", "no_budget", "no_need", "no_authority", "student_or_research", "spam")
LOST_FOR: Final = ("price", "competitor", "no_decision", "timing")
# The policy qualifies a lead automatically if its demo request is recent; an older one is qualified by marketing.
AUTOMATIC_WITHIN: Final = timedelta(days=25)

ActivityKind = Literal["interest", "contact_attempt"]
StepKind = Literal["transition", "conversion", "opportunity"]
Role = Literal["marketing", "sdr", "ae", "manager"]


@dataclass(frozen=True, slots=True)
class Activity:
    """A dated sign of interest, or a contact attempt."""

    type: str
    at: datetime
    kind: ActivityKind = "interest"


@dataclass(frozen=True, slots=True)
class Step:
    """A request made by a user of the given role; `body` is without `occurred_at`."""

    kind: StepKind
    who: Role
    at: datetime
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedLead:
    """A lead with everything that happens to it. `twice`: the provider delivers the form fill a second time."""

    key: str
    source: str
    at: datetime
    person: Invented
    utm: dict[str, str]
    newsletter: bool
    twice: bool
    activities: list[Activity] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def plan_leads(seed: int, count: int, end: datetime) -> list[PlannedLead]:
    """`count` leads of the half year before `end`, ordered by form fill. The same seed gives the same leads."""
    rng = random.Random(seed)  # noqa: S311 - reproducible data, nothing secret
    employers = companies(rng, max(1, count // 3))
    instants = sorted(end - timedelta(days=DAYS * _age(rng)) for _ in range(count))
    return [_plan_lead(rng, person(rng, rng.choice(employers), n), n, at, end) for n, at in enumerate(instants)]


def _age(rng: random.Random) -> float:
    """A random age, from 0 (today) to 1 (half a year ago); recent ages are more frequent."""
    return 1 - rng.random() ** 0.8


def _plan_lead(rng: random.Random, who: Invented, number: int, at: datetime, end: datetime) -> PlannedLead:
    source, medium = rng.choice(CHANNELS)
    utm = {"utm_source": source, "utm_medium": medium, "utm_campaign": rng.choice(CAMPAIGNS)}
    seconds = at.replace(microsecond=0)
    form_source = rng.choices(SOURCES, (5, 3, 4))[0]
    newsletter, twice = rng.random() < 0.4, rng.random() < 0.06
    lead = PlannedLead(f"demo-{number}", form_source, seconds, who, utm, newsletter, twice)
    clock = _Clock(rng, seconds, end)
    interested = who.fits and rng.random() < 0.85
    for name in rng.choices(("webinar", "case_study", "price_list"), (5, 4, 2), k=rng.choice((0, 1, 1, 2))):
        if clock.advance(hours=2, days=9):
            lead.activities.append(Activity(name, clock.now))
    if interested and clock.advance(hours=1, days=6):
        lead.activities.append(Activity("demo_request", clock.now))
        lead.steps.extend(_journey(rng, lead, clock))
    elif rng.random() < 0.18 and clock.advance(days=8):
        lead.steps.append(_close(rng, clock, "marketing"))
    return lead


class _Clock:
    """The current time of one lead; it never passes the end of the half year."""

    def __init__(self, rng: random.Random, now: datetime, end: datetime) -> None:
        self.rng, self.now, self.end = rng, now, end

    def advance(self, **at_most: float) -> bool:
        """Advance by a random time of at most the given span; False, and unchanged, if that is past the end."""
        span = timedelta(**at_most)
        later = self.now + timedelta(seconds=60 + int(span.total_seconds() * self.rng.random()))
        if later >= self.end:
            return False
        self.now = later
        return True


def _journey(rng: random.Random, lead: PlannedLead, clock: _Clock) -> Iterator[Step]:
    """The steps from MQL on, until the half year ends."""
    if clock.end - clock.now > AUTOMATIC_WITHIN:
        yield Step("transition", "marketing", clock.now, {"action": "qualify", "override_reason": "asked for a demo"})
    if rng.random() < 0.08 or not clock.advance(days=5):
        return  # not accepted yet
    if rng.random() < 0.22:
        yield _close(rng, clock, "sdr") if rng.random() < 0.5 else _recycle(rng, clock, "sdr")
        return
    yield Step("transition", "sdr", clock.now, {"action": "accept"})
    for _ in range(rng.choice((1, 1, 2, 3))):
        if clock.advance(days=3):
            lead.activities.append(Activity("call", clock.now, "contact_attempt"))
    if rng.random() < 0.06 or not clock.advance(days=24):
        return
    if rng.random() < 0.38:
        yield _close(rng, clock, "sdr") if rng.random() < 0.3 else _recycle(rng, clock, "sdr")
        return
    yield Step("transition", "ae", clock.now, {"action": "confirm", "bant": _bant(rng)})
    if not clock.advance(days=30):
        return
    if rng.random() < 0.2:
        yield _recycle(rng, clock, "ae")
        return
    yield _conversion(rng, lead, clock)
    yield from _deal(rng, clock)


def _bant(rng: random.Random) -> dict[str, Any]:
    answers = {name: {"status": "confirmed", "value": "yes"} for name in ("need", "budget", "timing")}
    return answers | ({"authority": {"status": "confirmed"}} if rng.random() < 0.5 else {})


def _conversion(rng: random.Random, lead: PlannedLead, clock: _Clock) -> Step:
    amount = {"value": f"{rng.randrange(30, 600) * 100}.00", "currency": "EUR"}
    close = (clock.now + timedelta(days=rng.randrange(30, 120))).date().isoformat()
    name = f"{lead.person.company.name} {clock.now.year}"
    deal = {"mode": "create", "name": name, "amount": amount, "close_date": close}
    return Step("conversion", "ae", clock.now, {"opportunity": deal})


def _deal(rng: random.Random, clock: _Clock) -> Iterator[Step]:
    """The steps of the opportunity."""
    for stage in ("proposal", "negotiation"):
        if not clock.advance(days=18):
            return
        if rng.random() < 0.25:
            yield Step("opportunity", "ae", clock.now, {"action": "lose", "reason_code": rng.choice(LOST_FOR)})
            return
        yield Step("opportunity", "ae", clock.now, {"action": "advance", "to": stage})
    if clock.advance(days=20):
        won = rng.random() < 0.6
        end = {"action": "win"} if won else {"action": "lose", "reason_code": rng.choice(LOST_FOR)}
        yield Step("opportunity", "ae", clock.now, end)


def _close(rng: random.Random, clock: _Clock, who: Role) -> Step:
    return Step("transition", who, clock.now, {"action": "disqualify", "reason_code": rng.choice(CLOSED_FOR)})


def _recycle(rng: random.Random, clock: _Clock, who: Role) -> Step:
    return Step("transition", who, clock.now, {"action": "recycle", "reason_code": rng.choice(RECYCLED_FOR)})
