"""Who gets a lead. Both shipped policies route to pools: the owner stays nobody until somebody accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.policy.document import Policy
from app.policy.facts import Ask, Facts


@dataclass(frozen=True, slots=True)
class Assignment:
    """`owner`: keep, nobody, or a user's id. `pool`: the role whose pool has the lead now."""

    owner: Literal["keep", "nobody"] | UUID
    pool: str | None = None


def assign(policy: Policy, to: str, facts: Facts, ask: Ask) -> Assignment:
    """What `assign: to` means here; `to` is actor, previous, nobody or the name of a route."""
    if to == "actor":
        return Assignment(ask.actor.user_id or "keep")
    if to == "previous":
        return Assignment(facts.previous_owner_id or "nobody")
    if to == "nobody":
        return Assignment("nobody")
    return route(policy, to, facts, ask)


def route(policy: Policy, name: str, facts: Facts, ask: Ask) -> Assignment:
    """The user the request names; else the owner who already has the role; else the pool of the role."""
    role = policy.routing[name].role
    if ask.owner_id is not None:
        return Assignment(ask.owner_id)
    if facts.owner_id is not None and facts.owner_role == role:
        return Assignment("keep")
    return Assignment("nobody", role)


def assignable(policy: Policy, name: str, ask: Ask) -> bool:
    """Whether the request names an active user of the route's role, or the route yields one (a pool always does)."""
    route = policy.routing.get(name)
    if ask.owner_id is None:
        return route is not None
    return ask.owner_role == (route.role if route else name)
