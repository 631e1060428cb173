"""The View of a condition with the whole policy, for scoring and for decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.policy.document import Policy
from app.policy.facts import Ask, Facts
from app.policy.view import View


@dataclass(frozen=True, slots=True)
class PolicyView(View):
    """A View whose policy is the whole document."""

    policy: Policy


def view_of(
    policy: Policy, facts: Facts, now: datetime, ask: Ask | None = None, target: str | None = None
) -> PolicyView:
    """The view of scored facts; the BANT rows of the ask count as recorded already."""
    confirmations = facts.confirmations + ask.bant if ask is not None and ask.bant else facts.confirmations
    stage = facts.stage if target is None else target
    return PolicyView(policy, facts, now, facts.fit, facts.engagement, facts.level, confirmations, ask, stage)
