"""The score of a lead now, and the next instant at which time alone may change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.policy.document import Policy
from app.policy.facts import Entry, Facts, Temperature
from app.policy.policy_view import PolicyView, view_of
from app.scoring.ledger import capped, engagement_entries, fit_entries, next_decay, total


@dataclass(frozen=True, slots=True)
class Score:
    """`view`: what it is the score of."""

    fit: int
    engagement: int
    level: int
    temperature: Temperature
    entries: tuple[Entry, ...]
    view: PolicyView = field(compare=False, repr=False)

    @property
    def evaluate_at(self) -> datetime | None:
        """When time alone may next change the score or the automatic actions; None if it never does.

        It is computed here: of most scores only the points are used.
        """
        return min((at for at in _changes(self.view) if at > self.view.now), default=None)


def score(policy: Policy, facts: Facts, now: datetime) -> Score:
    """Score the facts; their own `fit`, `engagement` and `level` are ignored."""
    bare = PolicyView(policy, facts, now, 0, 0, 0, facts.confirmations, None, facts.stage)
    fits = capped(policy, "fit", fit_entries(policy, bare))
    engagements = capped(policy, "engagement", engagement_entries(policy, facts, now))
    fit, engagement = total(fits), total(engagements)
    view = PolicyView(policy, facts, now, fit, engagement, 0, facts.confirmations, None, facts.stage)
    entries = (*fits, *engagements)
    return Score(fit, engagement, _level(view), _temperature(view), entries, view)


def _level(view: PolicyView) -> int:
    """The highest level whose condition and all lower ones hold, 0 if none."""
    reached = 0
    for rule in view.policy.scoring.levels:
        if not rule.condition.holds(view):
            break
        reached = rule.level
    return reached


def _temperature(view: PolicyView) -> Temperature:
    rules = view.policy.scoring.temperature
    return "hot" if rules.hot.holds(view) else "warm" if rules.warm.holds(view) else "cold"


def rescored(policy: Policy, facts: Facts, known: Score, now: datetime) -> Score:
    """The score after a move. Only a new baseline changes the points."""
    if facts.baseline_at is not None:
        return score(policy, facts, now)
    return replace(known, view=view_of(policy, facts, now))


def scored(policy: Policy, facts: Facts, now: datetime) -> Facts:
    """The facts with their score filled in, as `decide` and `eligibility` require."""
    return with_score(facts, score(policy, facts, now))


def with_score(facts: Facts, known: Score) -> Facts:
    """The facts with a known score."""
    return replace(facts, fit=known.fit, engagement=known.engagement, level=known.level, entries=known.entries)


def _changes(view: PolicyView) -> Iterator[datetime]:
    policy, facts = view.policy, view.facts
    for one in facts.activities:
        if facts.baseline_at is None or one.occurred_at > facts.baseline_at:
            for rule in policy.rules_for.get(one.type, ()):
                if at := next_decay(policy, rule.points, one.occurred_at, view.now):
                    yield at
    for condition in policy.timed_conditions.get(facts.stage, policy.timed_conditions[None]):
        yield from condition.changes(view)
