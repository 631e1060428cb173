"""Conditions that no lead can ever meet: each is told once, at the innermost place that makes it so."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from app.policy.check_conditions import roots
from app.policy.conditions import AllOf, Named, Not, walk
from app.policy.document import Policy
from app.policy.facts import Facts, Ledger
from app.policy.fault import Fault
from app.policy.field_word import SHIPPED_LISTS, FieldIs
from app.policy.policy_view import view_of
from app.policy.view import ConditionBase
from app.policy.words import (
    ClosingReason,
    Contactable,
    Engagement,
    EntryIs,
    Fit,
    FromStage,
    IntoStage,
    Level,
    NewestJourney,
    OpportunityClass,
    OpportunityStageClass,
    ReasonIs,
    as_values,
)

CLASSES: Collection[OpportunityStageClass | None] = (None, "unqualified", "qualified", "won", "lost")

LEDGERS: tuple[Ledger, ...] = ("fit", "engagement")


def never_true(policy: Policy) -> Iterator[Fault]:
    """Faults of conditions that cannot hold. Below `not` and in `when` that does no harm, and is only warned of."""
    most = {ledger: most_points(policy, ledger) for ledger in LEDGERS}
    for place, root, purpose in roots(policy):
        for where, node, _ in walk(root, place):
            why = impossible(policy, node, most)
            if why is None or (purpose == "fit" and _empty_list(policy, node)):
                continue  # a fit rule may wait for the names of its list, as the competitors of the shipped policies
            inner = where.removeprefix(place).split("/")
            harmless = not {"not", "when"}.isdisjoint(inner)
            yield Fault(where, "never_true", f"this can never be true: {why}", "warning" if harmless else "fault")


def impossible(policy: Policy, node: ConditionBase, most: Mapping[Ledger, float]) -> str | None:
    """Why the condition cannot hold by itself, and what to do; None if it may.

    Conditions inside it are not asked. `most` has what each ledger can give.
    """
    match node:
        case Fit():
            return _beyond("fit", node.fit.at_least, most["fit"])
        case Engagement():
            return _beyond("engagement", node.engagement.at_least, most["engagement"])
        case Level() if node.level.at_least > len(policy.scoring.levels):
            return f"the highest level is {len(policy.scoring.levels)}: ask for less, or add levels"
        case ClosingReason() if not policy.permanent_reasons:
            return "no reason is marked `permanent: true`"
        case FieldIs() if _empty_list(policy, node):
            return f"the list `{node.in_list}` is empty: write its values under `lists`"
        case AllOf():
            return _contradiction(policy, list(_parts(policy, node)))
        case _:
            return None


def most_points(policy: Policy, ledger: Ledger) -> float:
    """The most that the rules and caps of a ledger allow; math.inf where activities may add up without an end."""
    scoring = policy.scoring
    percent = scoring.decay[0].percent
    most: dict[str, float] = {}
    if ledger == "fit":
        for rule in scoring.fit:
            most[rule.id] = most.get(rule.id, 0.0) + max(rule.points, 0)
    else:
        for counted in scoring.engagement:
            most[counted.id] = max(most.get(counted.id, 0.0), math.inf if counted.points * percent >= 100 else 0.0)
    for cap, rules in policy.capped_rules:
        covered = (rules if cap.ledger is None else frozenset(most)) & most.keys()
        if cap.ledger in (None, ledger) and covered and sum(most[rule] for rule in covered) > cap.points:
            # Their sum matters, not which of them has it: one stands for all.
            most = {**most, **dict.fromkeys(covered, 0.0), min(covered): float(cap.points)}
    return sum(most.values())


def _beyond(ledger: str, wanted: int, most: float) -> str | None:
    if wanted <= most:
        return None
    return f"rules and caps give a {ledger} of at most {int(most)}: ask for less, or give more points"


def _empty_list(policy: Policy, node: ConditionBase) -> bool:
    if not isinstance(node, FieldIs) or node.in_list is None or node.in_list in SHIPPED_LISTS:
        return False
    return policy.lists.get(node.in_list) == ()


def _parts(policy: Policy, node: ConditionBase, inside: frozenset[str] = frozenset()) -> Iterator[ConditionBase]:
    """The conditions that have to hold together, those of nested `all` and of named conditions included.

    A name that is not known, or that leads in a circle, stands for itself: that is a fault of its own.
    """
    match node:
        case AllOf():
            for member in node.of:
                yield from _parts(policy, member, inside)
        case Named(condition=name) if name in policy.conditions and name not in inside:
            yield from _parts(policy, policy.conditions[name], inside | {name})
        case _:
            yield node


def _contradiction(policy: Policy, parts: Sequence[ConditionBase]) -> str | None:
    """What of these cannot hold together."""
    for one in parts:
        if isinstance(one, Not) and all(member in parts for member in _parts(policy, one.negated)):
            return f"it asks for `{one.negated.keyword}` and for its opposite: remove one of the two"
    for word in (FromStage, IntoStage, ReasonIs, EntryIs, Contactable, NewestJourney, OpportunityClass):
        allowed = [_allowed(one) for one in parts if isinstance(one, word)]
        if len(allowed) > 1 and not set.intersection(*allowed):
            return f"no value fits all that is asked of `{_keyword(parts, word)}`: use `any`, or remove one of them"
    fields = [one for one in parts if isinstance(one, FieldIs) and not _empty_list(policy, one)]
    for name in dict.fromkeys(one.field for one in fields):
        asked = [one for one in fields if one.field == name]
        if len(asked) > 1 and not _together(policy, list(dict.fromkeys(asked))):
            return f"no value of `{name}` fits all that is asked of it: use `any`, or remove one of them"
    return None


def _keyword(parts: Sequence[ConditionBase], word: type[ConditionBase]) -> str:
    return next(one.keyword for one in parts if isinstance(one, word))


def _allowed(node: ConditionBase) -> set[object]:
    """The values for which one of the words about a single value holds."""
    match node:
        case FromStage(stages=values) | IntoStage(stage=values) | ReasonIs(reason=values) | EntryIs(entry=values):
            return set(as_values(values))
        case Contactable(contactable=value) | NewestJourney(newest_journey=value):
            return {value}
        case OpportunityClass():
            wanted = node.opportunity_class
            among = CLASSES if wanted.among is None else wanted.among
            return {one for one in among if one not in (wanted.not_in or ())}
    return set()


def _together(policy: Policy, asked: Sequence[FieldIs]) -> bool:
    """Whether one value of the field may meet all of these; a custom field may hold several values, and meet each."""
    view = view_of(policy, Facts(fields=dict.fromkeys(SHIPPED_LISTS, True)), datetime.min.replace(tzinfo=UTC))
    wants_none = [one for one in asked if one.present is False]
    if wants_none:
        return all(one.accepts("", view) for one in asked)
    if asked[0].field.startswith("custom."):
        return True
    others = [one for one in asked if one.present is None]
    listed = [found for one in others if (found := _values(policy, one)) is not None]
    if listed:
        return any(all(one.accepts(value, view) for one in asked) for value in min(listed, key=len))
    return _ranges_meet(others)


def _values(policy: Policy, node: FieldIs) -> Sequence[object] | None:
    """The only values for which it holds; None where they are not a list."""
    if node.among is not None:
        return node.among
    if node.in_list is not None:
        return None if node.in_list in SHIPPED_LISTS else policy.lists.get(node.in_list)
    return None if node.equals is None else (node.equals,)


def _ranges_meet(asked: Sequence[FieldIs]) -> bool:
    """Whether one number is in all ranges."""
    low = max((one.bounds[0] for one in asked if one.bounds[0] is not None), default=-math.inf)
    high = min((one.bounds[1] for one in asked if one.bounds[1] is not None), default=math.inf)
    return low <= high
