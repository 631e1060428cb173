"""The level of a lead: the highest with all lower ones true, 0 when none."""

from __future__ import annotations

from app.policy.document import Policy
from app.policy.view import View


def level(policy: Policy, view: View) -> int:
    """The level, from a view whose fit and engagement are known."""
    reached = 0
    for rule in policy.scoring.levels:
        if not rule.condition.holds(view):
            break
        reached = rule.level
    return reached
