"""What a lead had at an instant of the past, where merges have moved rows since (docs/decisions/0041)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.database.transaction import Record


@dataclass(frozen=True, slots=True)
class Held:
    """The ids of rows that the lead had besides those that it has now (`gained`), and that it had not (`lost`)."""

    gained: frozenset[UUID] = frozenset()
    lost: frozenset[UUID] = frozenset()

    @property
    def differs(self) -> bool:
        return bool(self.gained or self.lost)


PRESENT = Held()


def survivor_at(lead_id: UUID, merges: Sequence[Record], at: datetime) -> UUID | None:
    """The lead into which this one was merged at that instant, if it was."""
    return next((one.survivor_id for one in merges if one.merged_id == lead_id and _is_merged(one, at)), None)


def held_at(lead_id: UUID, merges: Sequence[Record], at: datetime) -> Held:
    """Undoes the merges of the lead since `at`, the latest first, and takes up those that were undone since."""
    gained: set[UUID] = set()
    lost: set[UUID] = set()
    for one in sorted(merges, key=lambda one: one.merged_at, reverse=True):
        then, now = _is_merged(one, at), one.unmerged_at is None
        if then != now:
            more, less = (gained, lost) if then == (one.survivor_id == lead_id) else (lost, gained)
            more |= set(one.moved)
            less -= set(one.moved)
    return Held(frozenset(gained), frozenset(lost))


def _is_merged(one: Record, at: datetime) -> bool:
    return bool(one.merged_at <= at and (one.unmerged_at is None or one.unmerged_at > at))
