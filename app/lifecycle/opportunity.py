"""Decide whether and how an opportunity moves, with the same checks as a journey."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from app.lifecycle.answer import (
    AlreadyInStage,
    BackwardMove,
    InputRequired,
    OpportunityMove,
    Refusal,
    Refused,
    TransitionNotAllowed,
    UnknownAction,
)
from app.lifecycle.edges import Edge
from app.lifecycle.guard import effective_ask, refused_actor, refused_guard, refused_input
from app.policy.actions import Action
from app.policy.document import Policy
from app.policy.facts import Ask, Facts
from app.policy.opportunity import Opportunity
from app.policy.policy_view import view_of


def decide_opportunity(
    policy: Policy,
    facts: Facts,
    stage: str,
    ask: Ask,
    now: datetime,
    last_occurred_at: datetime | None = None,
    held: str | None = None,
) -> OpportunityMove | Refused:
    """Decide a move from `stage`; `facts` are those of the lead it came from, or `Facts()` if there is none.

    `last_occurred_at` is that of the opportunity's previous transition, `held` the stage that a closed one was in.
    """
    pipeline = policy.opportunity
    found = _edge(pipeline, stage, ask, held)
    if not isinstance(found, Edge):
        return Refused(found)
    action, to = found.action, found.to
    ask = effective_ask(action, ask)
    why = refused_actor(action, ask.actor) or refused_input(action, ask, pipeline.reasons, last_occurred_at, now)
    if why is not None:
        return Refused(why)
    if to is None:
        return Refused(InputRequired("to"))
    before, entered = pipeline.stage_of[stage], pipeline.stage_of[to]
    if before.is_closed:
        facts = replace(facts, closed_at=last_occurred_at)
    if (why := refused_guard(action, view_of(policy, facts, now, ask, to), ask)) is not None:
        return Refused(why)
    milestones = [one.name for one in policy.milestones if one.of_class == entered.of_class != before.of_class]
    return OpportunityMove(
        from_stage=stage,
        to_stage=to,
        to_class=entered.of_class,
        action=action.name,
        actor=ask.actor,
        occurred_at=ask.occurred_at or max(now, last_occurred_at or now),
        reason_code=ask.reason_code,
        note=ask.note,
        milestones=tuple(name for name in milestones if name not in facts.milestones),
        voids=tuple(one.name for one in policy.milestones if before.is_closed and one.of_class == before.of_class),
        closes=entered.is_closed,
        bant=ask.bant,
    )


def _edge(pipeline: Opportunity, stage: str, ask: Ask, held: str | None) -> Edge | Refusal:
    allowed = tuple(action.name for action in pipeline.actions if stage in action.sources)
    if stage not in pipeline.place_of:
        return TransitionNotAllowed(stage, ask.action, ())
    named = [one for one in pipeline.actions if ask.action in (None, one.name)]
    if ask.action is not None and not named:
        return UnknownAction(ask.action)
    for action in named:
        if stage in action.sources and _leads(pipeline, action, stage, ask, held):
            return Edge(action, {"later": ask.to, "held": held}.get(action.to, action.to))
    to = ask.to
    if to is None and ask.action is not None and named[0].to not in ("later", "held"):
        to = named[0].to
    if to == stage:
        return AlreadyInStage(stage, allowed)
    if to in pipeline.place_of and pipeline.place_of[to] < pipeline.place_of[stage]:
        return BackwardMove(stage, to, allowed)
    return TransitionNotAllowed(stage, ask.action, allowed)


def _leads(pipeline: Opportunity, action: Action, stage: str, ask: Ask, held: str | None) -> bool:
    """Whether the action leads to `ask.to`; without a `to` any action requested by name does."""
    if ask.to is None:
        return ask.action is not None
    if action.to != "later":
        return ask.to == (held if action.to == "held" else action.to)
    target = pipeline.stage_of.get(ask.to)
    running = target is not None and target.of_class not in ("won", "lost")
    return running and pipeline.place_of[ask.to] > pipeline.place_of[stage]
