"""In which ways a condition can hold: each way is a list of single words that are true, or not, together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice
from math import comb
from typing import Final

from app.policy.conditions import AllOf, AnyOf, AtLeast, Named, Not, When
from app.policy.document import Policy
from app.policy.view import ConditionBase

MOST_WAYS: Final = 100  # of a condition with more nothing is said


class TooMany(Exception):
    """A condition can hold in more ways than are looked at."""


@dataclass(frozen=True, slots=True)
class Said:
    """A condition of one word, which is asked to be true or to be false."""

    word: ConditionBase
    true: bool = True


Way = tuple[Said, ...]


def ways_to_hold(policy: Policy, conditions: Iterable[ConditionBase]) -> list[Way]:
    """The ways in which all of these hold together. Raises TooMany.

    A name that is not known, or that leads in a circle, stands for itself: that is a fault of its own.
    """
    return _all([_ways(policy, one, True, frozenset()) for one in conditions])


def _ways(policy: Policy, node: ConditionBase, true: bool, inside: Collection[str]) -> list[Way]:
    def of(member: ConditionBase, wanted: bool = true) -> list[Way]:
        return _ways(policy, member, wanted, inside)

    match node:
        case AllOf():
            return _all(map(of, node.of)) if true else _any(map(of, node.of))
        case AnyOf():
            return _any(map(of, node.of)) if true else _all(map(of, node.of))
        case Not():
            return of(node.negated, not true)
        case When():
            if true:
                return _any([of(node.when, False), _all([of(node.when), of(node.then)])])
            return _all([of(node.when, True), of(node.then)])
        case AtLeast():
            return _quorum(node, true, [of(one) for one in node.at_least.of])
        case Named(condition=name) if name in policy.conditions and name not in inside:
            return _ways(policy, policy.conditions[name], true, {*inside, name})
        case _:
            return [(Said(node, true),)]


def _quorum(node: AtLeast, true: bool, members: Sequence[list[Way]]) -> list[Way]:
    """So many of the members hold; or so many fail that too few are left."""
    count = node.at_least.count if true else len(members) - node.at_least.count + 1
    if count > len(members):
        return []
    if count < 1:
        return [()]
    if comb(len(members), count) > MOST_WAYS:
        raise TooMany
    return _any(_all(chosen) for chosen in combinations(members, count))


def _all(members: Iterable[list[Way]]) -> list[Way]:
    found: list[Way] = [()]
    for member in members:
        if len(found) * len(member) > MOST_WAYS:
            raise TooMany
        found = [(*before, *way) for before in found for way in member]
    return found


def _any(members: Iterable[list[Way]]) -> list[Way]:
    found = list(islice(chain.from_iterable(members), MOST_WAYS + 1))
    if len(found) > MOST_WAYS:
        raise TooMany
    return found
