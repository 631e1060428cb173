"""Generates the leads of half a year: form fills, activities, and the steps that users take. No I/O.

The steps of a lead are allowed by the shipped policy, `pipeline` or `waterfall`, and in chronological order. A lead
ends with its last step before the end of the half year, so recent leads are in early stages.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
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
RETURNED_FOR: Final = ("needs_info", "not_decision_maker", "no_need")
RECYCLED_FOR: Final = ("timing", "no_budget_yet", "needs_info", "not_decision_maker")
CLOSED_FOR: Final = ("bad_fit", "no_budget", "no_need", "no_authority", "student_or_research", "spam")
LOST_FOR: Final = ("price", "competitor", "no_decision", "timing")
# The policy qualifies a lead automatically if its demo request is recent; an older one is qualified by marketing.
AUTOMATIC_WITHIN: Final = timedelta(days=25)
# Shares of those that get so far, so that the rates are in the bands of the policy: MQL→SRL 20 to 40 %, SRL→SQL 80 to
# 90 %, and of closed deals at least 30 % of new business and 75 % of existing are won.
HANDED_OVER: Final = 0.45
CONFIRMED: Final = 0.88
# Of those who do not fit, marketing qualifies some who asked for a demo, and sales hands over fewer of these: so the
# persona and the rules of the policy have leads without them to be compared with.
ASKED_ANYWAY: Final = 0.025
HANDED_OVER_ANYWAY: Final = 0.2
# Of those that the AE does not confirm; of the others of them, half are still undecided and half lost.
RETURNED: Final = 1 / 3
UNDECIDED: Final = 0.5
EXISTING: Final = 0.3
WON: Final = {"new": 0.33, "existing": 0.77}
LEFT_OPEN: Final = 0.12  # deals that nobody closes: their close date passes, unless it is moved
MOVED: Final = 0.5

ActivityKind = Literal["interest", "contact_attempt"]
StepKind = Literal["transition", "conversion", "opportunity", "edit"]
PolicyName = Literal["pipeline", "waterfall"]
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


class _Shares:
    """Draws of which a share succeeds, and not only on average: a small demo has the rates of a large one."""

    def __init__(self) -> None:
        self.drawn: Counter[str] = Counter()

    def draw(self, name: str, share: float) -> bool:
        n = self.drawn[name]
        self.drawn[name] += 1
        return ceil((n + 1) * share) > ceil(n * share)


def plan_leads(seed: int, count: int, end: datetime, policy: PolicyName = "pipeline") -> list[PlannedLead]:
    """`count` leads of the half year before `end`, ordered by form fill. The same seed gives the same leads.

    Keys name all that decides what is sent, and addresses the seed, so that a tenant can have several demos.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible data, nothing secret
    employers, shares = companies(rng, max(1, count // 3)), _Shares()
    instants = sorted(end - timedelta(days=DAYS * _age(rng)) for _ in range(count))
    people = [person(rng, rng.choice(employers), f"{seed}.{n}") for n in range(count)]
    run = f"demo-{seed}-{count}-{policy}-{end:%Y%m%dT%H%M%S%f}"
    return [
        _plan_lead(_Life(rng, shares, at.replace(microsecond=0), end, policy), who, f"{run}-{n}")
        for n, (who, at) in enumerate(zip(people, instants, strict=True))
    ]


def _age(rng: random.Random) -> float:
    """A random age, from 0 (today) to 1 (half a year ago); recent ages are more frequent."""
    return 1 - rng.random() ** 0.8


class _Life:
    """The time of one lead, which never passes the end of the half year, and what it draws from."""

    def __init__(self, rng: random.Random, shares: _Shares, now: datetime, end: datetime, policy: PolicyName) -> None:
        self.rng, self.shares, self.now, self.end, self.policy = rng, shares, now, end, policy

    def advance(self, **at_most: float) -> bool:
        """Advance by a random time of at most the given span; False, and unchanged, if that is past the end."""
        span = timedelta(**at_most)
        later = self.now + timedelta(seconds=60 + int(span.total_seconds() * self.rng.random()))
        if later >= self.end:
            return False
        self.now = later
        return True


def _plan_lead(life: _Life, who: Invented, key: str) -> PlannedLead:
    rng = life.rng
    source, medium = rng.choice(CHANNELS)
    utm = {"utm_source": source, "utm_medium": medium, "utm_campaign": rng.choice(CAMPAIGNS)}
    form_source = rng.choices(SOURCES, (5, 3, 4))[0]
    newsletter, twice = rng.random() < 0.4, rng.random() < 0.06
    lead = PlannedLead(key, form_source, life.now, who, utm, newsletter, twice)
    interested = rng.random() < (0.85 if who.fits else ASKED_ANYWAY)
    for name in rng.choices(("webinar", "case_study", "price_list"), (5, 4, 2), k=rng.choice((0, 1, 1, 2))):
        if life.advance(hours=2, days=9):
            lead.activities.append(Activity(name, life.now))
    if interested and life.advance(hours=1, days=6):
        lead.activities.append(Activity("demo_request", life.now))
        lead.steps.extend(_journey(life, lead))
    elif rng.random() < 0.18 and life.advance(days=8):
        lead.steps.append(_close(life, "marketing"))
    return lead


def _journey(life: _Life, lead: PlannedLead) -> Iterator[Step]:
    """The steps from MQL on, until the half year ends."""
    rng = life.rng
    if life.end - life.now > AUTOMATIC_WITHIN or not lead.person.fits:
        yield Step("transition", "marketing", life.now, {"action": "qualify", "override_reason": "asked for a demo"})
    if rng.random() < 0.06 or not life.advance(days=5):
        return  # not accepted yet
    if rng.random() < 0.22:
        yield _close(life, "sdr") if rng.random() < 0.5 else _recycle(life, "sdr")
        return
    yield Step("transition", "sdr", life.now, {"action": "accept"})
    for _ in range(rng.choice((1, 1, 2, 3))):
        if life.advance(days=3):
            lead.activities.append(Activity("call", life.now, "contact_attempt"))
    if not life.advance(days=12):
        return
    if not _is_handed_over(life, lead):
        yield _close(life, "sdr") if rng.random() < 0.3 else _recycle(life, "sdr")
        return
    yield from _hand_over(life, lead)


def _is_handed_over(life: _Life, lead: PlannedLead) -> bool:
    if lead.person.fits:
        return life.shares.draw("handed over", HANDED_OVER)
    return life.shares.draw("handed over anyway", HANDED_OVER_ANYWAY)


def _hand_over(life: _Life, lead: PlannedLead) -> Iterator[Step]:
    """The lead goes to an AE: `pipeline` opens the opportunity at once, `waterfall` once the AE has confirmed.

    In `pipeline` a lead stays an SRL without one where the AE has not decided yet, or gives it back.
    """
    opportunity, handed_over_at = _opportunity(life, lead), life.now
    if life.policy == "pipeline":
        answer = _answer_of_ae(life)
        conversion = {"opportunity": opportunity} if answer in ("confirm", "lose") else False
        handed_over = {"action": "hand_over", "bant": _bant(life.rng), "conversion": conversion}
        yield Step("transition", "sdr", handed_over_at, handed_over)
        if answer == "return":
            yield _return(life)
        elif answer == "lose":
            yield _lost(life)
        if answer != "confirm":
            return
        yield Step("opportunity", "ae", life.now, {"action": "qualify", "bant": _bant(life.rng)})
    else:
        yield Step("transition", "ae", life.now, {"action": "confirm", "bant": _bant(life.rng)})
        confirms = life.shares.draw("confirmed", CONFIRMED)
        if not life.advance(days=8):
            return
        if not confirms:
            yield _recycle(life, "ae")
            return
        yield Step("conversion", "ae", life.now, {"opportunity": opportunity})
    yield from _deal(life, opportunity)


def _answer_of_ae(life: _Life) -> Literal["confirm", "return", "lose"] | None:
    """What the AE decides about an SRL; None: nothing yet."""
    confirms = life.shares.draw("confirmed", CONFIRMED)
    if not life.advance(days=8):
        return None
    if confirms:
        return "confirm"
    if life.shares.draw("returned", RETURNED):
        return "return"
    return None if life.shares.draw("undecided", UNDECIDED) else "lose"


def _bant(rng: random.Random) -> dict[str, Any]:
    answers = {name: {"status": "confirmed", "value": "yes"} for name in ("need", "budget", "timing")}
    return answers | ({"authority": {"status": "confirmed"}} if rng.random() < 0.5 else {})


def _opportunity(life: _Life, lead: PlannedLead) -> dict[str, Any]:
    business = "existing" if life.shares.draw("existing", EXISTING) else "new"
    return {
        "mode": "create",
        "name": f"{lead.person.company.name} {life.now.year}",
        "amount": _amount(life.rng),
        "close_date": _day(life, 30, 110),
        "business": business,
    }


def _amount(rng: random.Random) -> dict[str, str]:
    return {"value": f"{rng.randrange(30, 600) * 100}.00", "currency": "EUR"}


def _day(life: _Life, first: int, last: int) -> str:
    return (life.now + timedelta(days=life.rng.randrange(first, last))).date().isoformat()


def _deal(life: _Life, opportunity: dict[str, Any]) -> Iterator[Step]:
    """The steps of the opportunity: it goes on, is changed on the way, and is won, lost or left open."""
    if not life.advance(days=18):
        return
    yield Step("opportunity", "ae", life.now, {"action": "advance", "to": "proposal"})
    if life.shares.draw("left open", LEFT_OPEN):
        return
    if life.shares.draw("moved", MOVED) and life.advance(days=10):
        yield _edit(life)
    if not life.advance(days=18):
        return
    yield Step("opportunity", "ae", life.now, {"action": "advance", "to": "negotiation"})
    if not life.advance(days=20):
        return
    business = opportunity["business"]
    if life.shares.draw(f"won, {business}", WON[business]):
        yield Step("opportunity", "ae", life.now, {"action": "win"})
    else:
        yield _lost(life)


def _edit(life: _Life) -> Step:
    """The close date is moved, the amount agreed anew, or the manager judges the deal otherwise."""
    change: dict[str, Any] = life.rng.choice(
        (
            {"close_date": _day(life, 20, 100)},
            {"amount": _amount(life.rng)},
            {"forecast_category": "commit"},
            {"forecast_category": "pipeline", "close_date": _day(life, 60, 130)},
        )
    )
    return Step("edit", "manager", life.now, change)


def _lost(life: _Life) -> Step:
    return Step("opportunity", "ae", life.now, {"action": "lose", "reason_code": life.rng.choice(LOST_FOR)})


def _close(life: _Life, who: Role) -> Step:
    return Step("transition", who, life.now, {"action": "disqualify", "reason_code": life.rng.choice(CLOSED_FOR)})


def _return(life: _Life) -> Step:
    return Step("transition", "ae", life.now, {"action": "return", "reason_code": life.rng.choice(RETURNED_FOR)})


def _recycle(life: _Life, who: Role) -> Step:
    return Step("transition", who, life.now, {"action": "recycle", "reason_code": life.rng.choice(RECYCLED_FOR)})
