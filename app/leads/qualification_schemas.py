"""Request and response models of what qualifies a lead: BANT, exceptions, score, personas, and the catalogue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.policy.attributes import AttributeType
from app.web.fields import Code, RequestBody, ResponseBody


class BantOut(ResponseBody):
    """By criterion the latest confirmation, whoever gave it, and under `confirmations` the latest one of each user."""

    budget: dict[str, Any]
    authority: dict[str, Any]
    need: dict[str, Any]
    timing: dict[str, Any]


class ExceptionIn(RequestBody):
    """Why the lead counts as in the ideal customer profile although it does not fit."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True)] = Field(
        examples=["A subsidiary of our largest customer, who pays for it."]
    )
    persona: Code | None = Field(
        default=None, description="The persona of the policy that the lead counts as; null for every one."
    )


class ExceptionOut(ResponseBody):
    reason: str
    persona: str | None
    set_by: str = Field(description="The user who said so.")
    set_by_role: str
    set_at: str


class PersonaMatch(ResponseBody):
    """Whether the lead matches a persona of its policy, and what is missing if not."""

    name: str
    title: str
    matches: bool
    by_exception: bool = Field(description="Whether it matches by an exception only.")
    unmet: list[dict[str, Any]] = Field(description="What the lead itself lacks, also where an exception covers it.")


class ScoreOut(ResponseBody):
    as_of: str
    fit: int
    engagement: int
    level: int
    temperature: Literal["hot", "warm", "cold"]
    entries: list[dict[str, Any]]
    personas: list[PersonaMatch]
    exception: ExceptionOut | None


class AttributeOut(ResponseBody):
    """Something that a condition of a policy can name."""

    name: str
    word: str = Field(description="The condition word that reads it: `field`, or a word of its own.")
    type: AttributeType = Field(
        description="`any`: a custom answer whose values are of several types, or unknown; `condition`: a word whose "
        "argument is as in `condition`."
    )
    comparisons: list[str] = Field(description="What may stand beside the name in a condition.")
    values: list[str] = Field(description="All values that it can have; empty where these are not known.")
    examples: list[Any] = Field(description="Of a custom answer: values that leads have.")
    about: str
    condition: dict[str, Any] = Field(description="An example, as it stands in a policy.")


class Suppressed(ResponseBody):
    """The person was erased, and gave no new consent: nothing of the request was stored."""

    suppressed: Literal[True]


class AttributeList(ResponseBody):
    data: list[AttributeOut]
    next: None
