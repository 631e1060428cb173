"""Round robin with weights. Pure.

A turn of the ring is a line from 0 to SCALE. A user of weight w stands on it at w evenly spaced places, which depend on
the weight alone: users who join, leave or are away move nobody else. The ring keeps the place of the user who was
chosen last, and the next one is the first available user after it. So in a whole turn everybody is chosen as often as
the own weight says, wherever the turn begins, and users of equal weight never differ by more than one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

SCALE: Final = 1_000_000_000
Why = Literal["had_it", "absent", "full", "no_weight"]


@dataclass(frozen=True, slots=True)
class Member:
    """An active user of a role.

    `load`: the open leads that the user owns, at most `capacity` (None: no limit). `had_it`: this very lead was taken
    from the user, who had not done in time what was due.
    """

    user_id: UUID
    team: str | None = None
    weight: int = 1
    capacity: int | None = None
    load: int = 0
    absent: bool = False
    had_it: bool = False

    @property
    def unavailable(self) -> Why | None:
        """Why the user cannot be chosen now; None for a user who can."""
        if self.had_it:
            return "had_it"
        if self.absent:
            return "absent"
        if self.capacity is not None and self.load >= self.capacity:
            return "full"
        return "no_weight" if self.weight == 0 else None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place on the line and who was chosen there. Users at one place follow each other by id."""

    place: int
    user_id: UUID


def following(members: Iterable[Member], last: Position | None) -> Position | None:
    """The position of the next available user after `last`; None if nobody is available."""
    candidates = [_next(one, last) for one in members if one.unavailable is None]
    return min(candidates)[1] if candidates else None


def number(members: Iterable[Member], at: Position) -> int:
    """The number of a position within the turn, from 1. Absent and full users are counted: they keep their places."""
    return sum(_passed(one, at) for one in members)


def _next(member: Member, last: Position | None) -> tuple[bool, Position]:
    """The first position of the member after `last`, and whether it belongs to the next turn."""
    step = 0 if last is None else _passed(member, last)
    over = step == member.weight
    return over, _position(member, 0 if over else step)


def _passed(member: Member, at: Position) -> int:
    """How many of the member's positions are not after `at`."""
    step = max(0, at.place * member.weight // SCALE - 1)
    while step < member.weight and _position(member, step) <= at:
        step += 1
    return step


def _position(member: Member, step: int) -> Position:
    return Position((2 * step + 1) * SCALE // (2 * member.weight), member.user_id)
