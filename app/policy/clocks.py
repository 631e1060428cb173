"""The clocks of a policy document: until when something has to be done (schema.md, section 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from app.policy.actions import Identifier
from app.policy.conditions import Condition
from app.policy.view import Part
from app.policy.words import Name

ATTEMPT: Final = "contact_attempt"  # the value of `met_by` that names no action


class OnBreach(Part):
    """What is done once when a clock is breached. `assign`: the route whose pool gets the lead."""

    exactly_one: ClassVar[tuple[str, ...]] = ("emit", "do", "assign")
    emit: Name | None = None
    do: Identifier | None = None
    assign: Identifier | None = None
    reason_code: Identifier | None = None
    condition: Condition | None = Field(default=None, alias="if")


class Clock(Part):
    """`met_by`: a contact attempt, or the name of an action, which its stage's milestone stands for as well."""

    minutes: Annotated[int, Field(ge=1, le=1_000_000)]
    met_by: Name
    on_breach: Annotated[tuple[OnBreach, ...], Field(max_length=10)] = ()
