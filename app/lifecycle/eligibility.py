"""For every action of the policy: whether it is allowed now, or why not."""

from __future__ import annotations

from datetime import datetime

from app.lifecycle.answer import CriteriaUnmet, Eligible
from app.lifecycle.decide import refused_conditions
from app.lifecycle.edges import Edge, edge, endpoint_of, target
from app.lifecycle.guard import refused_actor
from app.policy.actions import Action
from app.policy.document import Policy
from app.policy.facts import Actor, Ask, Facts
from app.policy.policy_view import view_of
from app.policy.view import Unmet


def eligibility(policy: Policy, facts: Facts, actor: Actor, now: datetime) -> list[Eligible]:
    """One item per action, in the order of the document, as if all inputs it `needs` were given.

    `unmet` is filled also when `code` is about the actor: the guard is the same for everybody.
    """
    actions = (action for action in policy.actions if facts.stage is None or action.sources != (None,))
    return [_eligible(policy, facts, action, actor, now) for action in actions]


def _eligible(policy: Policy, facts: Facts, action: Action, actor: Actor, now: datetime) -> Eligible:
    ask = Ask(action.name, actor, endpoint=endpoint_of(policy, action))
    found = edge(policy, facts, ask, now)
    if not isinstance(found, Edge):
        to = target(policy, action, facts, ask, now)
        return Eligible(action.name, to, False, found.code, (), action.needs)
    guard = refused_conditions(action, view_of(policy, facts, now, ask, found.to), ask)
    unmet: tuple[Unmet, ...] = guard.unmet if isinstance(guard, CriteriaUnmet) else ()
    why = refused_actor(action, actor) or guard
    return Eligible(action.name, found.to, why is None, why.code if why else None, unmet, action.needs)
