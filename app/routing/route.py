"""Assignment of a lead by an effect. Both shipped policies route to pools: no owner until a user accepts the lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.policy.document import Policy
from app.policy.facts import OWNERS, Ask, Facts

OwnerChange = Literal["keep", "nobody"] | UUID


@dataclass(frozen=True, slots=True)
class Assignment:
    """`pool`: the role whose pool the lead is in, None outside pools.

    `route`: the route by which the lead came into the pool; its rules may give it to somebody (choose.py).
    """

    owner: OwnerChange
    pool: str | None = None
    route: str | None = None


def assign(policy: Policy, to: str, facts: Facts, ask: Ask) -> Assignment:
    """The assignment of the effect `assign: <to>`; `to` is actor, previous, nobody or the name of a route.

    A route assigns the user the request names, else keeps an owner who has the role, else the pool of the role.
    `previous` does so for the role that leads are assigned to first, and prefers the last owner who had it to the pool.
    An actor who cannot own a lead (an admin, a machine) leaves the owner as it is.
    """
    if to == "actor":
        return Assignment((ask.actor.user_id if ask.actor.role in OWNERS else None) or "keep")
    if to == "nobody":
        return Assignment("nobody")
    returned = to == "previous"
    role = policy.first_role if returned else policy.routing[to].role
    if not returned and ask.owner_id is not None:
        return Assignment(ask.owner_id)
    if facts.owner_role is not None and facts.owner_role == role:
        return Assignment("keep")
    if returned and facts.previous_owner_id is not None:
        return Assignment(facts.previous_owner_id)
    return Assignment("nobody", role, None if returned else to)
