"""Which personas of the policy a lead matches, and what the others lack."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.policy.document import Policy
from app.policy.facts import Facts
from app.policy.policy_view import view_of
from app.policy.view import Unmet


@dataclass(frozen=True, slots=True)
class PersonaMatch:
    """`unmet` is what the lead itself lacks; with `by_exception` it matches all the same."""

    name: str
    title: str
    matches: bool
    by_exception: bool
    unmet: list[Unmet]


def persona_matches(policy: Policy, facts: Facts, now: datetime) -> list[PersonaMatch]:
    """All personas in the order of the document."""
    view = view_of(policy, facts, now)
    matches = []
    for persona in policy.personas:
        unmet = persona.condition.unmet(view)
        excepted = bool(unmet) and facts.exception is not None and facts.exception.covers(persona.name)
        matches.append(PersonaMatch(persona.name, persona.title, not unmet or excepted, excepted, unmet))
    return matches
