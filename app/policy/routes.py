"""The routes of a policy document: who gets a lead (schema.md, section 1; docs/routing.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.policy.actions import Identifier
from app.policy.conditions import Condition
from app.policy.view import Part
from app.policy.words import Name, Role

Weight = Annotated[int, Field(ge=0, le=100)]
Weights = Annotated[dict[Name, Weight], Field(max_length=100)]
Method = Literal["pool", "round_robin", "account_owner"]


class Team(Part):
    """A team by its name. A lead that is routed to a partner has to be accepted within `accept_within_minutes`."""

    kind: Literal["internal", "partner"] = "internal"
    accept_within_minutes: Annotated[int, Field(ge=1, le=100_000)] | None = None


class Target(Part):
    """To whom a rule gives a lead: a pool, the next user of a ring, or the owner of the account of the lead's domain.

    `weights`, by team: how often a user of the team comes in a turn of the ring (1 where none is given).
    """

    method: Method
    team: Name | None = None
    weights: Weights = Field(default_factory=dict)


class RoutingRule(Part):
    """A lead for which the condition holds goes to the first target that takes it."""

    id: Identifier
    condition: Condition | None = Field(default=None, alias="if")
    to: Annotated[tuple[Target, ...], Field(max_length=10)] = ()


class Route(Part):
    """The rules are tried in order. Where none gives the lead to anybody, `method`, `team` and `weights` do."""

    role: Role
    method: Literal["pool", "round_robin"]
    team: Name | None = None
    weights: Weights = Field(default_factory=dict)
    rules: Annotated[tuple[RoutingRule, ...], Field(max_length=64)] = ()

    @property
    def otherwise(self) -> Target:
        """The target of a lead that no rule gives to anybody."""
        return Target(method=self.method, team=self.team, weights=self.weights)

    @property
    def is_plain(self) -> bool:
        """Whether every lead goes to the pool of the whole role, so that there is nothing to choose or to explain."""
        return self.method == "pool" and self.team is None and not self.rules

    def rule(self, name: str | None) -> RoutingRule | None:
        return next((one for one in self.rules if one.id == name), None)
