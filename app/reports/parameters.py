"""The query parameters of reports. A class is a dependency of a route: its fields are the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final, Literal, get_args

from fastapi import Query

from app.policy.facts import Temperature
from app.web.fields import Day, Instant

Group = Literal[
    "source",
    "medium",
    "campaign",
    "owner",
    "team",
    "country",
    "industry",
    "business",
    "temperature",
    "first_stage",
]
PipelineGroup = Literal[Group, "origin", "stage"]
AccountsGroup = Literal["account"]
FeedbackGroup = Literal[Group, "rule"]
Touch = Literal["first", "last"]
Per = Literal["week", "month"]
ORIGINS: Final = ("source", "medium", "campaign")  # the groups of a touch
# The keys of groups that have no others.
KEYS: Final[Mapping[str, Sequence[str]]] = {
    "business": ("new", "existing"),
    "temperature": get_args(Temperature),
    "origin": ("lead", "none"),
}
LONGEST_DAYS: Final = 1_100
MOST_GROUPS: Final = 500
MOST_NUMBERS: Final = 200_000
# Transitions of a window: on a core of its own a report reads so many in half of its 5 s, by the records or by rows of
# summaries.
MOST_STEPS: Final = 500_000
MOST_SUMMED: Final = 1_000_000
MOST_OF_DEALS: Final = 200_000  # the same of opportunities
FIRST, TO = "The first day, in the tenant's time zone.", "The day after the last one."
AS_OF: Final = "What had been recorded by this instant counts, and nothing that came later; left out: now."
BY: Final = "One group for each value of this."
HORIZON: Final = "Days that a journey has to get from the first milestone to the second; left out: as the policy says."
SKIPPED: Final = "Whether milestones count that a journey passed over."
TOUCH: Final = "The touch of the lead that has the source, medium and campaign."
HOURS: Final = "An MQL is untouched when nobody has tried to reach it or decided about it for so many hours."
PER: Final = "Whether a cohort is a week, from Monday on, or a month."
MILESTONE: Final = "The milestone that the journeys of a cohort entered; left out: the first one."
WEEKS: Final = "For how many weeks the share that came further is told."
IDLE_DAYS: Final = "Accounts and contacts are idle if nothing happened with them for so many days."


@dataclass(frozen=True)
class Parameters:
    """What every report takes."""

    from_: Annotated[Day, Query(alias="from", description=FIRST)]
    to: Annotated[Day, Query(description=TO)]
    as_of: Annotated[Instant | None, Query(description=AS_OF)] = None
    by: Annotated[Group | None, Query(description=BY)] = None

    @property
    def horizon_days(self) -> int | None:
        return None

    @property
    def group(self) -> str | None:
        """The name of its keys among the groups of the report, or in `GROUPS` of sql.py."""
        return self.by

    @classmethod
    def groups(cls) -> Sequence[str]:
        """What `by` can be."""
        return get_args(Group)

    def bound(self) -> dict[str, object]:
        """What its statement is given besides the window."""
        return {}

    def shown(self) -> dict[str, str]:
        """The parameters as the address of the evidence has them, without the instant, which stands at its end."""
        given = {
            "from" if name == "from_" else name: value
            for name, value in vars(self).items()
            if value is not None and name != "as_of"
        }
        return {
            name: value.isoformat() if isinstance(value, date | datetime) else str(value)
            for name, value in given.items()
        }


@dataclass(frozen=True)
class FunnelParameters(Parameters):
    """Also within which time, and whether milestones count that were skipped."""

    horizon: Annotated[int | None, Query(ge=1, le=3650, description=HORIZON)] = None
    skipped: Annotated[Literal["include", "exclude"], Query(description=SKIPPED)] = "include"

    @property
    def horizon_days(self) -> int | None:
        return self.horizon

    def bound(self) -> dict[str, object]:
        return {"with_skipped": self.skipped == "include"}


@dataclass(frozen=True)
class SkippedParameters(Parameters):
    """Also whether milestones count that were skipped."""

    skipped: Annotated[Literal["include", "exclude"], Query(description=SKIPPED)] = "include"

    def bound(self) -> dict[str, object]:
        return {"with_skipped": self.skipped == "include"}


@dataclass(frozen=True)
class AgeingParameters(Parameters):
    """Also for how long nothing happened with what is idle."""

    idle_days: Annotated[int, Query(ge=1, le=3650, description=IDLE_DAYS)] = 90


@dataclass(frozen=True)
class PipelineParameters(Parameters):
    """Also groups by the stage of opportunities, and by whether they came from a lead."""

    by: Annotated[PipelineGroup | None, Query(description=BY)] = None  # type: ignore[assignment]

    @classmethod
    def groups(cls) -> Sequence[str]:
        return get_args(PipelineGroup)


@dataclass(frozen=True)
class AccountsParameters(Parameters):
    """Groups by account only: what else is known of an account is not kept as of the past."""

    by: Annotated[AccountsGroup | None, Query(description=BY)] = None  # type: ignore[assignment]

    @classmethod
    def groups(cls) -> Sequence[str]:
        return get_args(AccountsGroup)


@dataclass(frozen=True)
class SourcesParameters(Parameters):
    """Also by which touch."""

    by: Annotated[Group | None, Query(description=BY)] = "source"
    touch: Annotated[Touch, Query(description=TOUCH)] = "first"

    @property
    def group(self) -> str | None:
        return self.of_touch(self.by) if self.by in ORIGINS else self.by

    def of_touch(self, member: str | None) -> str:
        """The group by a member of the touch."""
        return str(member) if self.touch == "first" else f"last_{member}"

    def bound(self) -> dict[str, object]:
        return {"with_skipped": True}


@dataclass(frozen=True)
class FeedbackParameters(Parameters):
    """Also after how many hours an MQL counts as untouched, and groups by scoring rule."""

    by: Annotated[FeedbackGroup | None, Query(description=BY)] = None  # type: ignore[assignment]
    hours: Annotated[int, Query(ge=1, le=8760, description=HOURS)] = 24

    def bound(self) -> dict[str, object]:
        return {"with_skipped": True}

    @classmethod
    def groups(cls) -> Sequence[str]:
        return get_args(FeedbackGroup)


@dataclass(frozen=True)
class CohortsParameters(SkippedParameters):
    """Also of which milestone, by week or month, and for how many weeks."""

    milestone: Annotated[str | None, Query(max_length=63, description=MILESTONE)] = None
    per: Annotated[Per, Query(description=PER)] = "week"
    weeks: Annotated[int, Query(ge=1, le=52, description=WEEKS)] = 12

    def bound(self) -> dict[str, object]:
        return {**super().bound(), "per": self.per}
