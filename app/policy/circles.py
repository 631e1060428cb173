"""The check of automatic transitions that follow each other in a circle.

One evaluation enters no stage twice, so it ends; the next one goes on, and the lead goes round for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from app.policy.actions import TARGETS, Action
from app.policy.conditions import AllOf, AnyOf, AtLeast, Named, When
from app.policy.document import Policy
from app.policy.fault import Fault, escaped
from app.policy.holding import TooMany, ways_to_hold
from app.policy.together import clash
from app.policy.view import ConditionBase
from app.policy.words import Engagement, FromStage, HasActivity, IntoStage, ReasonIs, as_values

# What to do about a circle: of the automation alone, and of one that a breach of a clock is part of.
EXCLUDE = "give them conditions that exclude each other, or leave one of them to people"
ASK_ANEW = (
    "give one of them a condition that only new interest meets: an `activity` with `since: baseline`, after the effect"
    " `set_baseline`"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One automatic transition. `asks`: it needs an activity since the baseline; `sets`: it sets the baseline.

    `conditions`: all that have to hold for it; `waits`: it is taken only when a clock is breached.
    """

    place: str
    action: str
    source: str
    to: str
    asks: bool
    sets: bool
    waits: bool
    conditions: tuple[ConditionBase, ...]

    def __str__(self) -> str:
        return f"`{self.action}` ({self.source} → {self.to})"


def circles(policy: Policy) -> Iterator[Fault]:
    """Warnings, each at the transition that closes a circle, unless the conditions of the circle exclude each other.

    Transitions that need no breach follow each other at once. A circle with a breach does no harm where one of its
    transitions sets the baseline and one needs an activity after it: then only new interest goes on with it.
    """
    steps = list(_steps(policy))
    kinds = (
        ([one for one in steps if not one.waits], EXCLUDE),
        ([one for one in steps if not one.asks], ASK_ANEW),
        ([one for one in steps if not one.sets], ASK_ANEW),
    )
    told: set[str] = set()
    for kept, hint in kinds:
        first = {
            (one.source, one.to): one for one in reversed(kept)
        }  # others between two stages close the same circles
        ways = [one for one in kept if first[one.source, one.to] is one]
        for number, closing in enumerate(ways):
            circle = [] if closing.place in told else _circle(ways[:number], closing)
            if circle and _together(policy, circle):
                told.add(closing.place)
                detail = f"the policy may take {', then '.join(map(str, circle))}, and so on by itself: {hint}"
                yield Fault(closing.place, "automatic_circle", detail, "warning")


def _together(policy: Policy, circle: Sequence[Step]) -> bool:
    """Whether the conditions of all may hold for one lead, whatever they say of the move."""
    try:
        ways = ways_to_hold(policy, [one for step in circle for one in step.conditions])
    except TooMany:
        return True
    of_move = FromStage | IntoStage | ReasonIs
    return any(clash(policy, tuple(one for one in way if not isinstance(one.word, of_move))) is None for way in ways)


def _steps(policy: Policy) -> Iterator[Step]:
    for index, item in enumerate(policy.automation):
        yield from _taken(policy, f"/automation/{index}/do", item.do, item.condition, waits=False)
    for name, clock in policy.clocks.items():
        for index, reaction in enumerate(clock.on_breach):
            place = f"/clocks/{escaped(name)}/on_breach/{index}/do"
            yield from _taken(policy, place, reaction.do, reaction.condition, waits=True)


def _taken(
    policy: Policy, place: str, name: str | None, condition: ConditionBase | None, *, waits: bool
) -> Iterator[Step]:
    action = policy.action_of.get(name or "")
    if action is None or "policy" not in action.by.machines:
        return
    sets = any(effect.set_baseline for effect in action.effects)
    conditions = tuple(one for one in (condition, action.guard) if one is not None)
    for source in policy.stage_of:
        if source is not None and policy.leaves(action, source):
            asks = any(_asks(policy, one, source, ()) for one in conditions)
            for to in _targets(policy, action, source):
                yield Step(place, action.name, source, to, asks, sets, waits, conditions)


def _targets(policy: Policy, action: Action, source: str) -> list[str]:
    """Where the policy may lead by it. A closed stage is left by `held` to one of those from which it is entered."""
    if action.to == "held":
        into = [one for one in policy.actions if one.to == source]
        return [name for name in policy.stage_of if name and any(policy.leaves(one, name) for one in into)]
    fixed = () if action.to in TARGETS else (action.to,)
    return [to for to in (*fixed, *(branch.stage for branch in action.to_if)) if to != source]


def _asks(policy: Policy, condition: ConditionBase, source: str, inside: Collection[str]) -> bool:
    """Whether the condition needs an activity since the baseline, for a lead that leaves this stage."""
    match condition:
        case HasActivity():
            return condition.activity.since == "baseline"
        case Engagement():
            return condition.engagement.at_least > 0
        case Named(condition=name) if name in policy.conditions and name not in inside:
            return _asks(policy, policy.conditions[name], source, (*inside, name))
        case AllOf():
            return any(_asks(policy, one, source, inside) for one in condition.of)
        case AnyOf():
            return all(_asks(policy, one, source, inside) for one in condition.of)
        case AtLeast():
            spared = condition.at_least.count - 1
            return sum(not _asks(policy, one, source, inside) for one in condition.at_least.of) <= spared
        case When(when=FromStage(stages=values)) if source in as_values(values):
            return _asks(policy, condition.then, source, inside)
        case _:
            return False


def _circle(earlier: Sequence[Step], closing: Step) -> list[Step]:
    """The shortest circle of earlier steps that ends with this one; empty if there is none."""
    ways: list[list[Step]] = [[]]
    seen = {closing.to}
    for way in ways:  # which grows meanwhile
        at = way[-1].to if way else closing.to
        if at == closing.source:
            return [*way, closing]
        further = [one for one in earlier if one.source == at and one.to not in seen]
        seen.update(one.to for one in further)
        ways += [[*way, one] for one in further]
    return []
