"""Who gets a lead. Both shipped policies route to pools: the owner stays nobody until somebody accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.policy.document import Policy
from app.policy.facts import Ask, Facts

OwnerChange = Literal["keep", "nobody"] | UUID


@dataclass(frozen=True, slots=True)
class Assignment:
    """`pool`: the role whose pool has the lead now."""

    owner: OwnerChange
    pool: str | None = None


def assign(policy: Policy, to: str, facts: Facts, ask: Ask) -> Assignment:
    """What `assign: to` means here; `to` is actor, previous, nobody or the name of a route.

    A route: the user the request names, else the owner who already has the role, else the pool of the role.
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
