"""What happened in half a year, as a plan: who came, what they did, and what people made of it. Pure: a seed, a plan.

The steps of a lead are legal under the shipped policy `waterfall` and in the order of time. What would lie in the
future has not happened yet, so the young leads stand where young leads stand.
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
# The policy moves a lead by itself while its interest is fresh; what is older, marketing entered by hand at the time.
FRESH: Final = timedelta(days=25)

ActivityKind = Literal["interest", "contact_attempt"]
Kind = Literal["transition", "conversion", "opportunity"]
Who = Literal["marketing", "sdr", "ae", "manager"]


@dataclass(frozen=True, slots=True)
class Activity:
    """One dated sign of interest, or a contact attempt."""

    type: str
    at: datetime
    kind: ActivityKind = "interest"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a named user; `body` is what it says beside its time."""

    kind: Kind
    who: Who
    at: datetime
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """One lead from its form fill on. `twice`: the provider delivered the form a second time."""

    key: str
    source: str
    at: datetime
    person: Invented
    utm: dict[str, str]
    newsletter: bool
    twice: bool
    activities: list[Activity] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def stories(seed: int, count: int, end: datetime) -> list[Story]:
    """`count` leads of the half year before `end`, in the order in which they came. The same seed, the same plan."""
    chance = random.Random(seed)  # noqa: S311 - a plan that can be made again
    known = companies(chance, max(1, count // 3))
    instants = sorted(end - timedelta(days=DAYS * _growing(chance)) for _ in range(count))
    return [_story(chance, person(chance, chance.choice(known), n), n, at, end) for n, at in enumerate(instants)]


def _growing(chance: random.Random) -> float:
    """0 is today, 1 half a year ago; the company grows, so more comes late."""
    return 1 - chance.random() ** 0.8


def _story(chance: random.Random, who: Invented, number: int, at: datetime, end: datetime) -> Story:
    source, medium = chance.choice(CHANNELS)
    utm = {"utm_source": source, "utm_medium": medium, "utm_campaign": chance.choice(CAMPAIGNS)}
    seconds = at.replace(microsecond=0)
    door = chance.choices(SOURCES, (5, 3, 4))[0]
    newsletter, twice = chance.random() < 0.4, chance.random() < 0.06
    story = Story(f"demo-{number}", door, seconds, who, utm, newsletter, twice)
    clock = _Clock(chance, seconds, end)
    keen = who.fits and chance.random() < 0.85
    for name in chance.choices(("webinar", "case_study", "price_list"), (5, 4, 2), k=chance.choice((0, 1, 1, 2))):
        if clock.after(hours=2, days=9):
            story.activities.append(Activity(name, clock.now))
    if keen and clock.after(hours=1, days=6):
        story.activities.append(Activity("demo_request", clock.now))
        story.steps.extend(_journey(chance, story, clock))
    elif chance.random() < 0.18 and clock.after(days=8):
        story.steps.append(_close(chance, clock, "marketing"))
    return story


class _Clock:
    """The time of one story; it stops at the end of the half year."""

    def __init__(self, chance: random.Random, now: datetime, end: datetime) -> None:
        self.chance, self.now, self.end = chance, now, end

    def after(self, **most: float) -> bool:
        """Goes on by a while of up to the most; False when that would lie in the future."""
        span = timedelta(**most)
        later = self.now + timedelta(seconds=60 + int(span.total_seconds() * self.chance.random()))
        if later >= self.end:
            return False
        self.now = later
        return True


def _journey(chance: random.Random, story: Story, clock: _Clock) -> Iterator[Step]:
    """From MQL on, as far as time allows."""
    if clock.end - clock.now > FRESH:
        yield Step("transition", "marketing", clock.now, {"action": "qualify", "override_reason": "asked for a demo"})
    if chance.random() < 0.08 or not clock.after(days=5):
        return  # it waits in the pool
    if chance.random() < 0.22:
        yield _close(chance, clock, "sdr") if chance.random() < 0.5 else _recycle(chance, clock, "sdr")
        return
    yield Step("transition", "sdr", clock.now, {"action": "accept"})
    for _ in range(chance.choice((1, 1, 2, 3))):
        if clock.after(days=3):
            story.activities.append(Activity("call", clock.now, "contact_attempt"))
    if chance.random() < 0.06 or not clock.after(days=24):
        return
    if chance.random() < 0.38:
        yield _close(chance, clock, "sdr") if chance.random() < 0.3 else _recycle(chance, clock, "sdr")
        return
    yield Step("transition", "ae", clock.now, {"action": "confirm", "bant": _bant(chance)})
    if not clock.after(days=30):
        return
    if chance.random() < 0.2:
        yield _recycle(chance, clock, "ae")
        return
    yield _conversion(chance, story, clock)
    yield from _deal(chance, clock)


def _bant(chance: random.Random) -> dict[str, Any]:
    said = {name: {"status": "confirmed", "value": "yes"} for name in ("need", "budget", "timing")}
    return said | ({"authority": {"status": "confirmed"}} if chance.random() < 0.5 else {})


def _conversion(chance: random.Random, story: Story, clock: _Clock) -> Step:
    amount = {"value": f"{chance.randrange(30, 600) * 100}.00", "currency": "EUR"}
    close = (clock.now + timedelta(days=chance.randrange(30, 120))).date().isoformat()
    name = f"{story.person.company.name} {clock.now.year}"
    deal = {"mode": "create", "name": name, "amount": amount, "close_date": close}
    return Step("conversion", "ae", clock.now, {"opportunity": deal})


def _deal(chance: random.Random, clock: _Clock) -> Iterator[Step]:
    """What becomes of the opportunity."""
    for stage in ("proposal", "negotiation"):
        if not clock.after(days=18):
            return
        if chance.random() < 0.25:
            yield Step("opportunity", "ae", clock.now, {"action": "lose", "reason_code": chance.choice(LOST_FOR)})
            return
        yield Step("opportunity", "ae", clock.now, {"action": "advance", "to": stage})
    if clock.after(days=20):
        won = chance.random() < 0.6
        end = {"action": "win"} if won else {"action": "lose", "reason_code": chance.choice(LOST_FOR)}
        yield Step("opportunity", "ae", clock.now, end)


def _close(chance: random.Random, clock: _Clock, who: Who) -> Step:
    return Step("transition", who, clock.now, {"action": "disqualify", "reason_code": chance.choice(CLOSED_FOR)})


def _recycle(chance: random.Random, clock: _Clock, who: Who) -> Step:
    return Step("transition", who, clock.now, {"action": "recycle", "reason_code": chance.choice(RECYCLED_FOR)})
