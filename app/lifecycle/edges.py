"""Edges: the action a request means, the stage it leads to, or why there is none (schema.md, section 3, step 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from app.lifecycle.answer import AlreadyInStage, BackwardMove, Refusal, TransitionNotAllowed, UnknownAction
from app.lifecycle.guard import refused_actor
from app.policy.actions import ACTION_WORDS, Action
from app.policy.document import Policy
from app.policy.facts import Actor, Ask, Endpoint, Facts
from app.policy.policy_view import view_of

# What `TransitionNotAllowed.use` names for actions that the transitions endpoint does not take.
SHIPPED_NAMES: dict[Endpoint, str] = {"conversion": "convert", "revert": "revert_conversion"}
USE_INSTEAD: dict[Endpoint, str] = {"conversion": "conversion", "revert": "conversion/revert"}


@dataclass(frozen=True, slots=True)
class Edge:
    """An action with an edge from the current stage. `to` is None if the request must name the target and does not."""

    action: Action
    to: str | None


def allowed_actions(policy: Policy, stage: str | None) -> tuple[str, ...]:
    """The names of the actions with an edge from this stage, for any actor."""
    return tuple(action.name for action in policy.edges.get(stage, ()))


def edge(policy: Policy, facts: Facts, ask: Ask, now: datetime) -> Edge | Refusal:
    """The edge that the request means, or why there is none."""
    if ask.action is None:
        if ask.to is None:
            return UnknownAction(None)
        found = _leading_to(policy, facts, ask, now)
        return _if_endpoint_takes(policy, facts, found, ask) if found else _no_edge(policy, facts.stage, None, ask.to)
    action = policy.action_of.get(ask.action)
    if action is None:
        if ask.action not in ACTION_WORDS:
            return UnknownAction(ask.action)
        return TransitionNotAllowed(facts.stage, ask.action, allowed_actions(policy, facts.stage))
    to = target(policy, action, facts, ask, now)
    if not policy.leaves(action, facts.stage):
        return _no_edge(policy, facts.stage, action.name, None if action.to == "same" else to)
    if not _possible(policy, action, facts, ask, to):
        refused = _no_edge(policy, facts.stage, action.name, ask.to or to)
        if not isinstance(refused, TransitionNotAllowed) or ask.to is None:
            return refused
        return replace(refused, to=ask.to, leads_to=_targets(policy, action, facts.stage, to))
    return _if_endpoint_takes(policy, facts, Edge(action, to), ask)


def target(policy: Policy, action: Action, facts: Facts, ask: Ask, now: datetime) -> str | None:
    """The stage the action leads to; None when the request must name it and does not."""
    if action.to == "same":
        return facts.stage
    if action.to == "held":
        return facts.held_stage
    if action.to == "any_open":
        return ask.to
    if action.to_if:
        view = view_of(policy, facts, now, ask)
        for branch in action.to_if:
            if branch.condition.holds(view):
                return branch.stage
    return action.to


def _leading_to(policy: Policy, facts: Facts, ask: Ask, now: datetime) -> Edge | None:
    """The first action that leads to `ask.to`; never one with `any_open` or `same`, which must be requested by name."""
    if ask.to == facts.stage:
        return None
    for action in policy.edges.get(facts.stage, ()):
        if action.to not in ("any_open", "same") and target(policy, action, facts, ask, now) == ask.to:
            return Edge(action, ask.to)
    return None


def _possible(policy: Policy, action: Action, facts: Facts, ask: Ask, to: str | None) -> bool:
    """Whether the action may enter this target."""
    if action.to == "any_open":
        return to is None or (to != facts.stage and to in policy.stage_of and policy.stage_of[to].kind == "open")
    return to in policy.stage_of and ask.to in (None, to)


def _targets(policy: Policy, action: Action, stage: str | None, to: str | None) -> tuple[str, ...]:
    """The stages that the action leads to from this one."""
    if action.to == "any_open":
        return tuple(one.name for one in policy.stages if one.kind == "open" and one.name != stage)
    return (to,) if to in policy.stage_of and to is not None else ()


def endpoint_of(policy: Policy, action: Action) -> Endpoint:
    """The endpoint that takes this action: conversion and its revert have their own."""
    if action.converts:
        return "conversion"
    sources = () if action.sources == "open" else (policy.stage_of.get(source) for source in action.sources)
    reverts = action.to == "held" and any(stage is not None and stage.of_conversion for stage in sources)
    return "revert" if reverts else "transition"


def taken_by(policy: Policy, endpoint: Endpoint, stage: str | None) -> str:
    """The name of the action that this endpoint takes: one from the stage, else from another.

    A policy without one has the name of the shipped policies, which is refused as no action of this policy.
    """
    found = [action for action in policy.actions if endpoint_of(policy, action) == endpoint]
    here = [action for action in found if policy.leaves(action, stage)]
    return next((action.name for action in (*here, *found)), SHIPPED_NAMES[endpoint])


def entry(policy: Policy, actor: Actor) -> str:
    """The name of the action that opens a journey: the first that this actor may take, else the first."""
    opening = policy.edges[None]
    return next((one.name for one in opening if refused_actor(one, actor) is None), opening[0].name)


def _if_endpoint_takes(policy: Policy, facts: Facts, found: Edge, ask: Ask) -> Edge | Refusal:
    endpoint = endpoint_of(policy, found.action)
    if endpoint in ("transition", ask.endpoint):
        return found
    allowed = allowed_actions(policy, facts.stage)
    return TransitionNotAllowed(facts.stage, found.action.name, allowed, use=USE_INSTEAD[endpoint])


def _no_edge(policy: Policy, stage: str | None, action: str | None, to: str | None) -> Refusal:
    allowed = allowed_actions(policy, stage)
    here, there = policy.stage_of.get(stage), policy.stage_of.get(to)
    if stage is not None and stage == to:
        return AlreadyInStage(stage, allowed)
    if here and there and here.order is not None and there.order is not None and there.order < here.order:
        return BackwardMove(here.name, there.name, allowed)
    return TransitionNotAllowed(stage, action, allowed)
