"""The lint of the rule that leads to the first milestone: it should not admit who is not even the right person."""

from __future__ import annotations

from collections.abc import Iterator

from app.policy.conditions import AllOf, AnyOf, Condition, Named
from app.policy.document import Policy
from app.policy.fault import Fault
from app.policy.words import Fit, Level

WANTED = 2


def weak_rule(policy: Policy) -> Iterator[Fault]:
    """A warning when the rule may be true of a lead below level 2."""
    action = policy.threshold
    wanted = next((rule.condition for rule in policy.scoring.levels if rule.level == WANTED), None)
    if action is None or wanted is None:
        return
    if action.guard is None or not _implies(policy, action.guard, wanted):
        place = f"/actions/{policy.actions.index(action)}/guard"
        yield Fault(place, "weak_rule", f"may be true of a lead below level {WANTED}", "warning")


def _implies(policy: Policy, rule: Condition, wanted: Condition) -> bool:
    """Whether the shape of the rule alone guarantees level 2; what cannot be told counts as no."""
    match rule:
        case Named():
            return _implies(policy, policy.conditions[rule.condition], wanted)
        case AllOf():
            return any(_implies(policy, member, wanted) for member in rule.of)
        case AnyOf():
            return all(_implies(policy, member, wanted) for member in rule.of)
        case Level():
            return rule.level.at_least >= WANTED
        case Fit() if isinstance(wanted, Fit):
            return rule.fit.at_least >= wanted.fit.at_least
        case _:
            return rule == wanted
