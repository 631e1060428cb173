"""What a lead looked like when it reached the first milestone, which the move keeps as evidence for reports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from app.policy.document import Policy
from app.policy.facts import Entry, Facts
from app.policy.likelihood import company_size, interests
from app.scoring.personas import persona_matches

MOST_LETTERS: Final = 100
FIELDS: Final = ("seniority", "industry", "country")


def profile(policy: Policy, facts: Facts, entries: Iterable[Entry], now: datetime) -> dict[str, object]:
    """The rules of the score that gave or took points, the personas that the lead matched, and who it was.

    A text that nobody filled in is None. `activities` are the types of its interest.
    """
    counting = {one.rule_id for one in entries if one.counts and one.decayed_points}
    return {
        "rules": [name for name in policy.rule_ids if name in counting],
        "personas": [one.name for one in persona_matches(policy, facts, now) if one.matches],
        **{name: _text(facts.fields.get(name)) for name in FIELDS},
        "size": company_size(facts.fields.get("employees")),
        "source": _text((facts.first_touch or {}).get("source")),
        "activities": sorted({one.type for one in interests(facts, now)}),
    }


def _text(value: object) -> str | None:
    return value.strip()[:MOST_LETTERS] or None if isinstance(value, str) else None
