"""Condition words about what a person is to the company: consents, personas, and exceptions from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.policy.shape import Like
from app.policy.view import ConditionBase, Part, Unmet, View, leaf
from app.policy.words import Name

ConsentState = Literal["given", "pending", "refused", "withdrawn", "unknown"]
Purpose = Annotated[
    str,
    Like("email_marketing", "write the purpose of a consent in small letters, digits and _", r"^[a-z][a-z0-9_]{0,59}$"),
]


class ConsentArguments(Part):
    purpose: Purpose
    state: Annotated[tuple[ConsentState, ...], Field(min_length=1, max_length=5)]


class ConsentIs(ConditionBase):
    """The consent for the purpose is in one of the states; it is `unknown` where nothing was said."""

    consent: ConsentArguments

    def unmet(self, view: View) -> list[Unmet]:
        wanted = self.consent
        have = view.facts.consents.get(wanted.purpose, "unknown")
        return [] if have in wanted.state else leaf("consent", have, list(wanted.state), purpose=wanted.purpose)


class PersonaIs(ConditionBase):
    """The lead matches one of the personas, or counts as one by an exception."""

    persona: Annotated[tuple[Name, ...], Field(min_length=1, max_length=50)]

    def unmet(self, view: View) -> list[Unmet]:
        """Of the personas, `missing` is what the nearest one lacks, the first on a tie."""
        if self.holds(view):
            return []
        have = [name for name in view.policy.persona_conditions if is_persona(view, name)]
        nearest = min((view.policy.persona_conditions[name].unmet(view) for name in self.persona), key=len)
        return leaf("persona", have, list(self.persona), missing=nearest)

    def holds(self, view: View) -> bool:
        return any(is_persona(view, name) for name in self.persona)


class HasException(ConditionBase):
    """Whether somebody has said that the lead counts as in the ideal customer profile although it does not fit."""

    exception: bool

    def unmet(self, view: View) -> list[Unmet]:
        have, need = view.facts.exception is not None, self.exception
        return [] if have is need else leaf("exception", have, need)


def is_persona(view: View, name: str) -> bool:
    """Whether the lead matches the persona, or counts as it by an exception."""
    exception = view.facts.exception
    covered = exception is not None and exception.covers(name)
    return covered or view.policy.persona_conditions[name].holds(view)
