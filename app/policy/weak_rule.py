"""The check of the threshold (the guard of the first milestone): it should hold only for leads of level 2 or above."""

from __future__ import annotations

from collections.abc import Iterator

from app.policy.conditions import AllOf, AnyOf, AtLeast, Condition, Named
from app.policy.document import Policy
from app.policy.fault import Fault
from app.policy.words import Fit, Level

REQUIRED_LEVEL = 2


def weak_rule(policy: Policy) -> Iterator[Fault]:
    """A warning when the guard may hold for a lead below level 2."""
    action = policy.threshold_action
    wanted = next((rule.condition for rule in policy.scoring.levels if rule.level == REQUIRED_LEVEL), None)
    if action is None or wanted is None:
        return
    if action.guard is None or not _implies(policy, action.guard, wanted):
        place = f"/actions/{policy.actions.index(action)}/guard"
        yield Fault(place, "weak_rule", f"the guard may hold for a lead below level {REQUIRED_LEVEL}", "warning")


def _implies(policy: Policy, rule: Condition, wanted: Condition) -> bool:
    """Whether the structure of the rule guarantees level 2; False where that cannot be derived."""
    match rule:
        case Named():
            return _implies(policy, policy.conditions[rule.condition], wanted)
        case _ if isinstance(wanted, Named):
            return _implies(policy, rule, policy.conditions[wanted.condition])
        case _ if isinstance(wanted, AllOf):
            return all(_implies(policy, rule, member) for member in wanted.of)
        case AllOf():
            return any(_implies(policy, member, wanted) for member in rule.of)
        case AnyOf():
            return all(_implies(policy, member, wanted) for member in rule.of)
        case AtLeast():
            failing = rule.at_least.count - 1  # so many members may hold without the wanted one
            return sum(not _implies(policy, member, wanted) for member in rule.at_least.of) <= failing
        case Level():
            return rule.level.at_least >= REQUIRED_LEVEL
        case Fit() if isinstance(wanted, Fit):
            return rule.fit.at_least >= wanted.fit.at_least
        case _:
            return rule == wanted or (
                isinstance(wanted, AnyOf) and any(_implies(policy, rule, one) for one in wanted.of)
            )
