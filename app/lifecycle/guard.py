"""The checks of actor, inputs and guard (schema.md, section 3), shared by journeys and opportunities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.lifecycle.answer import (
    CriteriaUnmet,
    HumanRequired,
    InputRequired,
    OutOfOrder,
    ReasonRequired,
    Refusal,
    RoleNotAllowed,
    UnknownReason,
)
from app.policy.actions import Action, Reason
from app.policy.facts import Actor, Ask
from app.policy.policy_view import PolicyView
from app.policy.view import Unmet
from app.policy.words import ActorIs, Assignable, may

# How far in the future `occurred_at` may be: the clocks of senders differ from ours.
MAX_AHEAD = timedelta(minutes=5)
# Inputs that only some actions take: the input, its member of `Ask`, and that member's value when not given.
OPTIONAL_INPUTS = (
    ("bant", "bant", ()),
    ("owner_id", "owner_id", None),
    ("wake_at", "wake_at", None),
    ("conversion", "convert", None),
    ("correction_of", "correction_of", None),
)
Reasons = Mapping[str, tuple[Reason, ...]]


def refused_actor(action: Action, actor: Actor) -> Refusal | None:
    """The refusal if the actor may not do this: a machine where only people may, or another role or kind."""
    if actor.kind == "human":
        return None if may(actor.role, action.by.people) else _role(action, actor)
    if actor.kind in action.by.machines:
        return None
    return _role(action, actor) if action.by.machines else HumanRequired(action.name)


def _role(action: Action, actor: Actor) -> RoleNotAllowed:
    return RoleNotAllowed(action.name, actor.role, (*action.by.people, *action.by.machines))


def refused_input(action: Action, ask: Ask, reasons: Reasons, last: datetime | None, now: datetime) -> Refusal | None:
    """The first failed check of: reason given, other inputs given, reason known, its note given, time in order."""
    listed = [reason for reason in reasons.get(action.reasons or "", ()) if reason.active]
    codes = tuple(reason.code for reason in sorted(listed, key=lambda reason: reason.sort or 0))
    if "reason_code" in action.needs and not given("reason_code", ask):
        return ReasonRequired(codes)
    for name in action.needs:
        if not given(name, ask):
            return InputRequired(name)
    if given("reason_code", ask):
        reason = next((one for one in listed if one.code == ask.reason_code), None)
        if reason is None:
            return UnknownReason(str(ask.reason_code), codes)
        if reason.note == "required" and not given("note", ask):
            return InputRequired("note")
    if ask.wake_at is not None and ask.wake_at < now:
        return OutOfOrder(now, None, "wake_at")
    return out_of_order(ask.occurred_at, last, now)


def out_of_order(at: datetime | None, last: datetime | None, now: datetime) -> OutOfOrder | None:
    """The refusal if `at` lies before the previous transition, or further in the future than clocks may differ."""
    if at is None or ((last is None or at >= last) and at <= now + MAX_AHEAD):
        return None
    return OutOfOrder(last, now + MAX_AHEAD)


def given(name: str, ask: Ask) -> bool:
    """Whether the request gives this input; blank text counts as not given."""
    if name == "conversion":
        return ask.convert is True or (ask.convert is None and ask.endpoint == "conversion")
    value = getattr(ask, name)
    return bool(value.strip()) if isinstance(value, str) else value is not None and value != ()


def may_override(action: Action, ask: Ask) -> bool:
    """Whether the ask overrides the guard: it gives `override_reason`, and the actor's role may override."""
    return action.override is not None and given("override_reason", ask) and may(ask.actor.role, action.override.people)


def refused_guard(action: Action, view: PolicyView, ask: Ask) -> Refusal | None:
    """The refusal if the guard does not hold and is not overridden, or if the named owner cannot be assigned."""
    missing: list[Unmet] = []
    if action.guard is not None and not may_override(action, ask):
        missing = action.guard.unmet(view)
        if missing and isinstance(action.guard, ActorIs):
            return RoleNotAllowed(action.name, ask.actor.role, tuple(action.guard.actor.roles))
    missing = missing or _wrong_owner(action, view, ask)
    return CriteriaUnmet(tuple(missing)) if missing else None


def _wrong_owner(action: Action, view: PolicyView, ask: Ask) -> list[Unmet]:
    """The leaf if the named owner is not an active user of the role that the lead is assigned to."""
    route = next((effect.assign for effect in action.effects if effect.assign in view.policy.routing), None)
    return Assignable(assignable=route).unmet(view) if route and ask.owner_id else []


def effective_ask(action: Action, ask: Ask) -> Ask:
    """The ask without the inputs that this action does not take: they have no effect."""
    ignored: dict[str, Any] = {
        member: empty
        for name, member, empty in OPTIONAL_INPUTS
        if name not in action.inputs and getattr(ask, member) != empty
    }
    return replace(ask, **ignored) if ignored else ask
