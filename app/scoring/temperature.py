"""The temperature of a lead: hot, warm, else cold."""

from __future__ import annotations

from app.policy.document import Policy
from app.policy.facts import Temperature
from app.policy.view import View


def temperature(policy: Policy, view: View) -> Temperature:
    """The first of hot and warm that is true."""
    rules = policy.scoring.temperature
    return "hot" if rules.hot.holds(view) else "warm" if rules.warm.holds(view) else "cold"
