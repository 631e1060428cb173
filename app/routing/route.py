"""Assignment of a lead. Both shipped policies route to pools: the lead has no owner until a user accepts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.policy.document import Policy
from app.policy.facts import Ask, Facts

OwnerChange = Literal["keep", "nobody"] | UUID


@dataclass(frozen=True, slots=True)
class Assignment:
    """`pool`: the role whose pool the lead is in, None outside pools."""

    owner: OwnerChange
    pool: str | None = None


def assign(policy: Policy, to: str, facts: Facts, ask: Ask) -> Assignment:
    """The assignment of the effect `assign: <to>`; `to` is actor, previous, nobody or the name of a route.

    A route assigns the user the request names, else keeps an owner who has the role, else the pool of the role.
    """
    if to == "actor":
        return Assignment(ask.actor.user_id or "keep")
    if to == "previous":
        return Assignment(facts.previous_owner_id or "nobody")
    if to == "nobody":
        return Assignment("nobody")
    role = policy.routing[to].role
    if ask.owner_id is not None:
        return Assignment(ask.owner_id)
    if facts.owner_id is not None and facts.owner_role == role:
        return Assignment("keep")
    return Assignment("nobody", role)
