"""Which lane of a subscription sends which events: those of one lead (one order key) are of one lane. No I/O.

A change of the number of lanes replaces all of them by others, which begin at the lowest position of the old ones.
`Passed` says what the old ones had handled beyond it, so that the new ones leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from app.events.envelope import Sequenced

MOST_LANES: Final = 16


def lane_of(key: UUID, lanes: int) -> int:
    """The lane of an order key: by its last two bytes, which are random. Statements have the same rule (OF_SHARE)."""
    return int.from_bytes(key.bytes[-2:]) % lanes


def part_of(limit: int, lane_no: int, lanes: int) -> int:
    """The part of a limit of the subscription that one of its lanes has; all parts together are the limit."""
    return limit // lanes + (lane_no < limit % lanes)


@dataclass(frozen=True, slots=True)
class Passed:
    """Positions that lanes of earlier numbers have handled.

    `to`: for each number of lanes the position of each of them, up to which all of its share is handled. `ahead`:
    single positions after those.
    """

    to: Mapping[int, Sequence[int]] = field(default_factory=dict)
    ahead: frozenset[int] = frozenset()

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        to = {int(lanes): tuple(positions) for lanes, positions in stored.get("to", {}).items()}
        return cls(to, frozenset(stored.get("ahead", ())))

    @property
    def stored(self) -> dict[str, Any]:
        """`last`: from there on it says nothing."""
        if not self.to and not self.ahead:
            return {}
        to = {str(lanes): list(positions) for lanes, positions in self.to.items()}
        last = max(position for positions in (*self.to.values(), self.ahead) for position in positions)
        return {"to": to, "ahead": sorted(self.ahead), "last": last}

    def has(self, key: UUID, position: int) -> bool:
        return position in self.ahead or any(
            position <= positions[lane_of(key, lanes)] for lanes, positions in self.to.items()
        )

    def then(self, positions: Sequence[int], settled: Iterable[int]) -> Passed:
        """What is handled when lanes that had this, and are at these positions, are replaced; without what is before
        the lowest one. They have `settled` more, after their own positions."""
        lowest, lanes = min(positions), len(positions)
        before = self.to.get(lanes, positions)
        to = {**self.to, lanes: tuple(max(pair) for pair in zip(before, positions, strict=True))}
        ahead = frozenset(one for one in (*self.ahead, *settled) if one > lowest)
        return Passed({number: reached for number, reached in to.items() if max(reached) > lowest}, ahead)


@dataclass(frozen=True, slots=True)
class Share:
    """The events of one of the lanes of a subscription, but for those that were handled before."""

    lane_no: int = 0
    lanes: int = 1
    passed: Passed = field(default_factory=Passed)

    def has(self, key: UUID, position: int) -> bool:
        return lane_of(key, self.lanes) == self.lane_no and not self.passed.has(key, position)

    def only(self, events: Iterable[Sequenced]) -> list[Sequenced]:
        """Those of these events that the lane has to send."""
        return [event for event in events if self.has(event.order_key, event.position)]

    def part_of(self, limit: int) -> int:
        return part_of(limit, self.lane_no, self.lanes)
