"""The two ledgers: fit from the current fields, engagement from dated activities that decay. Integers only.

Entries are computed, never stored; the score is the exact sum of those that count. A cap that is exceeded adds a
negative entry `cap:<scope>`, so that the sum stays exact and the cap is visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from app.policy.document import Policy
from app.policy.facts import Entry, Facts, Ledger
from app.policy.policy_view import PolicyView
from app.policy.view import days_after


def share(points: int, percent: int) -> int:
    """The percentage of the points, truncated towards zero: 50 % of 15 is 7, of -25 is -12."""
    part = abs(points) * percent // 100
    return part if points >= 0 else -part


def decayed(policy: Policy, points: int, occurred_at: datetime, now: datetime) -> int:
    """The points of an activity after decay; all of them for an activity dated in the future."""
    age = now - occurred_at
    percent = next((percent for limit, percent in policy.decay_steps if age <= limit), 0)
    return share(points, percent)


def next_decay(policy: Policy, points: int, occurred_at: datetime, now: datetime) -> datetime | None:
    """The next instant at which the decayed points change; None if they never will."""
    current = decayed(policy, points, occurred_at, now)
    percents = [*(percent for _, percent in policy.decay_steps[1:]), 0]
    for (limit, _), following in zip(policy.decay_steps, percents, strict=True):
        if now - occurred_at <= limit and share(points, following) != current:
            return days_after(occurred_at, limit.days)
    return None


def fit_entries(policy: Policy, view: PolicyView) -> list[Entry]:
    """One entry for each fit rule whose condition holds."""
    rules = policy.scoring.fit
    return [Entry("fit", rule.id, None, rule.points, rule.points) for rule in rules if rule.condition.holds(view)]


def engagement_entries(policy: Policy, facts: Facts, now: datetime) -> list[Entry]:
    """One entry for each activity and rule of its type; an activity at or before the baseline does not count."""
    baseline, rules_for = facts.baseline_at, policy.rules_for
    return [
        Entry(
            "engagement",
            rule.id,
            one.id,
            rule.points,
            decayed(policy, rule.points, one.occurred_at, now),
            baseline is None or one.occurred_at > baseline,
        )
        for one in facts.activities
        for rule in rules_for.get(one.type, ())
    ]


def capped(policy: Policy, ledger: Ledger, entries: list[Entry]) -> list[Entry]:
    """The entries of one ledger, plus one for each cap that they exceed: rule caps first, then group, then ledger."""
    for cap, rules in policy.capped_rules:
        if cap.ledger not in (None, ledger):
            continue
        covered = {*rules, *(f"cap:{rule}" for rule in rules)}
        excess = total(one for one in entries if cap.ledger or one.rule_id in covered) - cap.points
        if excess > 0:
            scope = cap.ledger or cap.group or cap.rule
            entries = [*entries, Entry(ledger, f"cap:{scope}", None, -excess, -excess)]
    return entries


def total(entries: Iterable[Entry]) -> int:
    """The sum of the entries that count."""
    return sum(one.decayed_points for one in entries if one.counts)
