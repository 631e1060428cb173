"""The query parameters of reports. A class is a dependency of a route: its fields are the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final, Literal, get_args

from fastapi import Query

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
PipelineGroup = Literal[Group, "origin"]
AccountsGroup = Literal["account"]
LONGEST_DAYS: Final = 1_100
MOST_GROUPS: Final = 500
FIRST, TO = "The first day, in the tenant's time zone.", "The day after the last one."
AS_OF: Final = "What had been recorded by this instant counts, and nothing that came later; left out: now."
BY: Final = "One group for each value of this."
HORIZON: Final = "Days that a journey has to get from the first milestone to the second; left out: as the policy says."
SKIPPED: Final = "Whether milestones count that a journey passed over."
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
    """Also groups by whether opportunities came from a lead."""

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
