"""Who gets a lead by a route: the first rule whose condition holds, and its first target that takes the lead. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from app.policy.document import Policy
from app.policy.policy_view import PolicyView
from app.policy.routes import Route, Target
from app.policy.view import Unmet
from app.routing.ring import Member, Position, following

Outcome = Literal[
    "assigned",
    "pool",
    "nobody_available",
    "no_account",
    "no_owner",
    "other_role",
    "owner_absent",
    "owner_full",
    "owner_had_it",
    "had_it",
]
Reason = Literal["assigned", "pool", "nobody_available", "no_target_left"]

OF_ACCOUNT: Final[Mapping[str, Outcome]] = {"had_it": "owner_had_it", "absent": "owner_absent", "full": "owner_full"}


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a lead belongs to by its domain."""

    id: UUID
    owner_id: UUID | None


@dataclass(frozen=True, slots=True)
class Staff:
    """The active users of the role, the last position of each ring by its name, and the account of the lead.

    `lapsed_teams`: the partners that let this lead lie, which do not get it from here.
    """

    roster: Sequence[Member]
    positions: Mapping[str, Position]
    account: Account | None = None
    lapsed_teams: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule whose condition was evaluated; it holds where nothing is unmet."""

    rule: str
    unmet: tuple[Unmet, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """A target that was tried. `members`: those of its ring, with weights; `chosen`: the position in it."""

    target: Target
    outcome: Outcome
    ring: str | None = None
    members: tuple[Member, ...] = ()
    chosen: Position | None = None
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Who gets the lead: `owner_id`, or the pool where it is None; `team`: whose lead it is.

    `rule` is None where no rule gave the lead to anybody; `target` is the place of its target, from 0.
    `accept_within_minutes`: how long the team, a partner, has to accept it; None: for ever.
    """

    reason: Reason
    owner_id: UUID | None = None
    team: str | None = None
    rule: str | None = None
    target: int = 0
    accept_within_minutes: int | None = None
    considered: tuple[Considered, ...] = ()
    tried: tuple[Tried, ...] = ()


def choose(route: Route, view: PolicyView, staff: Staff) -> Choice:
    """The choice for a lead that the route newly gets.

    A rule that has only targets which need an account owner gives the lead on to the next rule where there is none.
    """
    considered: list[Considered] = []
    tried: list[Tried] = []
    for rule in route.rules:
        considered.append(Considered(rule.id, tuple(rule.condition.unmet(view) if rule.condition else ())))
        if considered[-1].unmet:
            continue
        choice = _first_taking(view.policy, route, rule.to, staff)
        tried += choice.tried
        if choice.reason != "no_target_left":
            return replace(choice, rule=rule.id, considered=tuple(considered), tried=tuple(tried))
    choice = _first_taking(view.policy, route, (route.otherwise,), staff)
    return replace(choice, considered=tuple(considered), tried=(*tried, *choice.tried))


def choose_next(policy: Policy, route: Route, rule: str | None, after: int, staff: Staff) -> Choice:
    """The choice for a lead that was not accepted in time: among the targets of the rule after the place `after`.

    Where none is left, the lead goes to the pool of the role.
    """
    choice = _first_taking(policy, route, targets_after(route, rule, after), staff)
    return replace(choice, rule=rule, target=choice.target + after + 1)


def targets_after(route: Route, rule: str | None, after: int) -> tuple[Target, ...]:
    """The targets that a lead has still before it; none where the policy has no such rule."""
    found = route.rule(rule)
    return found.to[after + 1 :] if found else ()


def ring_name(route: Route, target: Target) -> str | None:
    """The name of the ring of a target. A role, or a team and a role, has one ring in all rules and policies."""
    if target.method != "round_robin":
        return None
    return route.role if target.team is None else f"{route.role}/{target.team}"


def rings_of(route: Route) -> set[str]:
    """The names of all rings that the route may use."""
    targets = [route.otherwise, *(target for rule in route.rules for target in rule.to)]
    return {name for target in targets if (name := ring_name(route, target)) is not None}


def _first_taking(policy: Policy, route: Route, targets: Sequence[Target], staff: Staff) -> Choice:
    """The first target that takes the lead. Where rings were tried and nobody was available: the pool of the last."""
    tried: list[Tried] = []
    for place, target in enumerate(targets):
        tried.append(_try(policy, route, target, staff))
        outcome, owner_id = tried[-1].outcome, _owner_of(tried[-1])
        if outcome in ("assigned", "pool"):
            team = target.team or _partner_of(policy, staff, owner_id)
            reason: Reason = "assigned" if outcome == "assigned" else "pool"
            return _choice(policy, reason, owner_id, team, place, tried)
    rings = [place for place, one in enumerate(tried) if one.outcome == "nobody_available"]
    if rings:
        return _choice(policy, "nobody_available", None, targets[rings[-1]].team, rings[-1], tried)
    return Choice("no_target_left", tried=tuple(tried))


def _choice(
    policy: Policy, reason: Reason, owner_id: UUID | None, team: str | None, place: int, tried: Sequence[Tried]
) -> Choice:
    known = policy.teams.get(team or "")
    minutes = known.accept_within_minutes if known else None
    return Choice(reason, owner_id, team, target=place, accept_within_minutes=minutes, tried=tuple(tried))


def _try(policy: Policy, route: Route, target: Target, staff: Staff) -> Tried:
    if target.team in staff.lapsed_teams:
        return Tried(target, "had_it")
    if target.method == "pool":
        return Tried(target, "pool")
    if target.method == "account_owner":
        return Tried(target, _account_owner(staff), account=staff.account)
    name = ring_name(route, target)
    assert name is not None
    members = tuple(_members(policy, target, staff.roster))
    chosen = following(members, staff.positions.get(name))
    return Tried(target, "assigned" if chosen else "nobody_available", name, members, chosen)


def _account_owner(staff: Staff) -> Outcome:
    """Whether the owner of the account can take the lead. The weight in a ring does not matter for that."""
    if staff.account is None:
        return "no_account"
    if staff.account.owner_id is None:
        return "no_owner"
    owner = next((one for one in staff.roster if one.user_id == staff.account.owner_id), None)
    if owner is None:
        return "other_role"
    return OF_ACCOUNT.get(owner.unavailable or "", "assigned")


def _owner_of(tried: Tried) -> UUID | None:
    if tried.outcome != "assigned":
        return None
    if tried.chosen is not None:
        return tried.chosen.user_id
    return tried.account.owner_id if tried.account else None


def _partner_of(policy: Policy, staff: Staff, user_id: UUID | None) -> str | None:
    """The team of the user where that is a partner: whoever gets a lead for a partner has to accept it in time."""
    team = next((one.team for one in staff.roster if one.user_id == user_id), None)
    return team if team in policy.partners else None


def _members(policy: Policy, target: Target, roster: Sequence[Member]) -> list[Member]:
    """The users of the target's team; without a team those of the role, but for partners. With the weights to use."""
    if target.team is not None:
        return [one for one in roster if one.team == target.team]
    own = [one for one in roster if one.team not in policy.partners]
    return [replace(one, weight=one.weight * target.weights.get(one.team or "", 1)) for one in own]
