"""Decide whether and how a journey moves: edge, actor, inputs, guard; the first that fails is the refusal.

Takes scored facts (`app.scoring.score.scored`) and never raises, whatever the ask.
"""

from __future__ import annotations

from datetime import datetime

from app.lifecycle.answer import CriteriaUnmet, Decision, InputRequired, Refusal, Refused, Stay
from app.lifecycle.edges import Edge, edge, endpoint_of
from app.lifecycle.effects import move
from app.lifecycle.guard import effective_ask, refused_actor, refused_guard, refused_input
from app.policy.actions import Action
from app.policy.document import Policy
from app.policy.facts import Ask, Facts
from app.policy.policy_view import PolicyView, view_of
from app.policy.words import AtMostDays, ClassArguments, ClosedFor, OpportunityClass


def decide(policy: Policy, facts: Facts, ask: Ask, now: datetime) -> Decision:
    """Move, or Refused with the first failed check; Stay for an allowed action that makes no move (`to: same`)."""
    found = edge(policy, facts, ask, now)
    if not isinstance(found, Edge):
        return Refused(found)
    action, to = found.action, found.to
    ask = effective_ask(action, ask)
    why = refused_actor(action, ask.actor) or refused_input(action, ask, policy.reasons, facts.last_occurred_at, now)
    if why is not None:
        return Refused(why)
    if to is None:
        return Refused(InputRequired("to"))
    view = view_of(policy, facts, now, ask, to)
    if (why := refused_conditions(action, view, ask)) is not None:
        return Refused(why)
    if action.to == "same":
        return Stay()
    # Never before the previous transition: its `occurred_at` may be minutes ahead of our clock.
    return move(view, action, ask, to, ask.occurred_at or max(now, facts.last_occurred_at or now))


def refused_conditions(action: Action, view: PolicyView, ask: Ask) -> Refusal | None:
    """The fast track's condition, if the action takes the fast track; then the guard."""
    fast = view.policy.fast_track(action, view.facts.stage)
    if fast is not None and (missing := fast.condition.unmet(view)):
        return CriteriaUnmet(tuple(missing))
    return refused_guard(action, view, ask) or refused_revert(action, view)


def refused_revert(action: Action, view: PolicyView) -> Refusal | None:
    """What no policy can allow of a revert: later than `revert_days`, or of an opportunity that was won or lost."""
    if endpoint_of(view.policy, action) != "revert":
        return None
    in_time = ClosedFor(closed_for=AtMostDays(at_most_days=view.policy.conversion.revert_days))
    is_open = OpportunityClass(opportunity_class=ClassArguments(not_in=("won", "lost")))
    missing = [*in_time.unmet(view), *is_open.unmet(view)]
    return CriteriaUnmet(tuple(missing)) if missing else None
