"""Conversion, opportunities, re-inquiry and benchmarks of a policy document (schema.md, section 1)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Field

from app.policy.actions import Action, Identifier, Reason
from app.policy.conditions import Condition
from app.policy.view import Part
from app.policy.words import Days, Name, OpportunityStageClass

ForecastCategory = Literal["omitted", "pipeline", "upside", "commit", "closed"]
CATEGORY_OF_CLASS: Final[dict[OpportunityStageClass, ForecastCategory]] = {
    "unqualified": "omitted",
    "qualified": "pipeline",
    "won": "closed",
    "lost": "omitted",
}


class FastTrack(Part):
    sources: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=32)] = Field(alias="from")
    condition: Condition = Field(alias="if")
    of_class: Literal["unqualified", "qualified"] = Field(default="unqualified", alias="class")


class Conversion(Part):
    classes: dict[Identifier, Literal["unqualified", "qualified"]] = Field(alias="class")
    fast_track: FastTrack | None = None
    revert_days: Annotated[int, Field(ge=0, le=3650)]
    overwrite: Annotated[tuple[Name, ...], Field(max_length=100)] = ()


class OpportunityStage(Part):
    name: Identifier
    of_class: OpportunityStageClass = Field(alias="class")
    probability: Annotated[int, Field(ge=0, le=100)]
    forecast_category: ForecastCategory | None = None

    @property
    def category(self) -> ForecastCategory:
        """The forecast category of an opportunity that enters the stage; by its class where the stage names none."""
        return self.forecast_category or CATEGORY_OF_CLASS[self.of_class]

    @property
    def is_closed(self) -> bool:
        return self.of_class in ("won", "lost")


class Opportunity(Part):
    stages: Annotated[tuple[OpportunityStage, ...], Field(min_length=1, max_length=32)]
    actions: Annotated[tuple[Action, ...], Field(max_length=64)]
    reasons: dict[Identifier, tuple[Reason, ...]] = Field(default_factory=dict)

    @cached_property
    def stage_of(self) -> dict[str, OpportunityStage]:
        """Stages by name."""
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def place_of(self) -> dict[str, int]:
        """The index of each stage in the list; a higher one is forward."""
        return {stage.name: place for place, stage in enumerate(self.stages)}


class Reinquiry(Part):
    disqualified_permanent: Literal["block", "new_journey"]
    disqualified: Literal["new_journey", "block"]
    converted_open: Literal["activity", "new_journey"]
    converted_closed_or_older_than_days: Days


class Benchmark(Part):
    sources: Identifier = Field(alias="from")
    to: Identifier
    days: Days
    business: Literal["new", "existing"] | None = None
    green: tuple[Annotated[int, Field(ge=0, le=100)], Annotated[int, Field(ge=0, le=100)]]
