"""Re-inquiry: what a new submission of a known lead does to its journeys (lifecycle.md, section 6)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from app.policy.document import Policy
from app.policy.facts import Facts

Reinquiry = Literal["same_journey", "new_journey", "activity", "blocked"]


def reinquiry(policy: Policy, facts: Facts, now: datetime) -> Reinquiry:
    """same_journey: it is open or parked · activity: stored, the opportunity is open · blocked: stored, no journey.

    Not called for merged leads (the surviving lead's facts are passed) or erased ones.
    """
    stage = policy.stage_of.get(facts.stage)
    if stage is None:
        return "new_journey"
    if stage.kind in ("open", "parked"):
        return "same_journey"
    rules = policy.reinquiry
    if stage.of_conversion:
        running = _still_running(facts, rules.converted_closed_or_older_than_days, now)
        return rules.converted_open if running else "new_journey"
    permanent = facts.closing_reason in policy.permanent_reasons
    rule = rules.disqualified_permanent if permanent else rules.disqualified
    return "blocked" if rule == "block" else rule


def _still_running(facts: Facts, days: int, now: datetime) -> bool:
    recent = facts.closed_at is None or now - facts.closed_at <= timedelta(days=days)
    return recent and facts.opportunity_class not in ("won", "lost")
