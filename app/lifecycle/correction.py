"""What a move that voids milestones does to clocks and the owner: what came with the voided stages is taken back.

A correction and the revert of a conversion take no action that leads into their target. So what such an action does is
read from the policy: the clocks that it starts, and the route by which it assigns the lead. The runs of clocks and the
choices of routes that only later stages have are void, as the milestones of these stages are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from app.policy.actions import Action
from app.policy.document import Policy
from app.policy.facts import Facts


def ended_clocks(policy: Policy, to: str) -> tuple[str, ...]:
    """The clocks that only stages after this one start."""
    return _only_after(policy, to, policy.clocks, _started_by)


def ended_routes(policy: Policy, to: str) -> tuple[str, ...]:
    """The routes by which only stages after this one assign the lead."""
    return _only_after(policy, to, policy.routing, _assigned_by)


def _only_after(
    policy: Policy, to: str, names: Iterable[str], named_by: Callable[[Policy, str], set[str]]
) -> tuple[str, ...]:
    """Of these names those that stages after this one name, and neither the stage itself nor one before it."""
    order = policy.stage_of[to].order
    if order is None:
        return ()
    stages = [stage for stage in policy.stages if stage.order is not None]
    still = {name for one in stages if (one.order or 0) <= order for name in named_by(policy, one.name)}
    later = {name for one in stages if (one.order or 0) > order for name in named_by(policy, one.name)}
    return tuple(name for name in names if name in later - still)


def actions_into(policy: Policy, stage: str) -> Iterator[Action]:
    """The actions that lead into the stage from one before it, or from one outside the order of the funnel."""
    order = policy.stage_of[stage].order or 0
    for action in _entering(policy, stage):
        before = [policy.stage_of.get(source) for source in action.sources] if action.sources != "open" else []
        if any(one is None or one.order is None or one.order < order for one in before):
            yield action


def assigning(policy: Policy, facts: Facts, to: str) -> str | None:
    """The argument of the effect `assign` by which the lead gets an owner of the target's role.

    None where the stage that is left has the same route, so that the owner stays.
    """
    before, after = route_of(policy, facts.stage), route_of(policy, to)
    if before == after:
        return None
    if after is None:
        return "nobody"
    is_first = policy.role_of_route[after] == policy.first_role
    return "previous" if is_first and facts.previous_owner_id is not None else after


def route_of(policy: Policy, stage: str | None) -> str | None:
    """The route by which a lead in this stage was assigned: that of the stage, else of the nearest one before it."""
    here = policy.stage_of.get(stage)
    if here is None or here.order is None:
        return None
    earlier = [one for one in policy.stages if one.order is not None and one.order <= here.order]
    for one in sorted(earlier, key=lambda one: one.order or 0, reverse=True):
        effects = [effect for action in actions_into(policy, one.name) for effect in action.effects]
        if found := next((effect.assign for effect in effects if effect.assign in policy.routing), None):
            return found
    return None


def _entering(policy: Policy, stage: str) -> Iterator[Action]:
    return (one for one in policy.actions if stage in (one.to, *(branch.stage for branch in one.to_if)))


def _started_by(policy: Policy, stage: str) -> set[str]:
    effects = (effect for action in _entering(policy, stage) for effect in action.effects)
    return {effect.start_clock for effect in effects if effect.start_clock}


def _assigned_by(policy: Policy, stage: str) -> set[str]:
    effects = (effect for action in _entering(policy, stage) for effect in action.effects)
    return {effect.assign for effect in effects if effect.assign}
