"""Leads that may be one person are not merged: they are flagged, with an event; a phone of several is `shared`.

Each pair is stored with its reasons until somebody decides on it, and is not told of again unless there are new ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record
from app.events.record import NewEvent
from app.journeys.state import Change
from app.leads.absorb import add_updated_event, mark_changed, set_flag
from app.matching.identity import Conflict
from app.matching.likeness import MOST_COMPARED, SCORES, Subject, is_news, reasons, total, with_similar_name

MOST_TOLD: Final = 10  # pairs of one arrival
Pair = tuple[UUID, UUID]


class Pairs:
    """Pairs of leads that may be one person: those that are stored, and what this transaction has to add."""

    def __init__(self, stored: Iterable[Record]) -> None:
        self._stored = {(row.one_id, row.other_id): row for row in stored}
        self._news: dict[Pair, dict[str, int]] = {}

    def sift(self, lead_id: UUID, conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
        """The conflicts of the lead to tell of. Of a pair that somebody decided on only those with new reasons, and of
        one that is known already only those by an identity, which is told of each time."""
        found: dict[Pair, list[Conflict]] = {}
        for conflict in conflicts:
            found.setdefault(pair_of(lead_id, conflict.lead_id), []).append(conflict)
        return tuple(conflict for pair, each in found.items() for conflict in self._told(pair, each))

    def _told(self, pair: Pair, conflicts: list[Conflict]) -> list[Conflict]:
        scores = {one.reason: one.score or SCORES[one.reason] for one in conflicts}
        row, known = self._stored.get(pair), self._known(pair)
        if not known or is_news(scores, known):
            added = {str(reason): max(score, known.get(reason, 0)) for reason, score in scores.items()}
            self._news[pair] = {**known, **added}
            return conflicts
        if row is not None and row.state == "not_duplicate" and pair not in self._news:
            return []
        return [one for one in conflicts if not one.score]

    def _known(self, pair: Pair) -> Mapping[str, int]:
        """The reasons with their scores that are stored or told of already."""
        row = self._stored.get(pair)
        return self._news.get(pair) or ({one["reason"]: one["score"] for one in row.reasons} if row else {})

    def knows(self, lead_id: UUID, other_id: UUID) -> bool:
        """Whether the pair is stored or told of already."""
        return bool(self._known(pair_of(lead_id, other_id)))

    def rows(self) -> list[dict[str, Any]]:
        """The pairs to store."""
        return [
            {
                "id": ids.new_id(),
                "version": self._stored[one_id, other_id].version + 1 if (one_id, other_id) in self._stored else 1,
                "one_id": one_id,
                "other_id": other_id,
                "score": total(found),
                "reasons": [
                    {"reason": reason, "score": score} for reason, score in sorted(found.items(), key=_strongest_first)
                ],
            }
            for (one_id, other_id), found in self._news.items()
        ]


def _strongest_first(one: tuple[str, int]) -> tuple[int, str]:
    return -one[1], one[0]


def pair_of(one: UUID, other: UUID) -> Pair:
    """Both ids in the order in which a pair is stored."""
    return (one, other) if one < other else (other, one)


def subject_of(row: Record) -> Subject:
    """What is compared of a stored lead."""
    return Subject.of(row, row.emails or (), {"city": row.city})


class Alike:
    """Leads by the keys of likeness: those that are stored, and those of this batch."""

    def __init__(self, rows: Iterable[Record] = ()) -> None:
        self._by_key: dict[str, dict[UUID, Subject]] = {}  # of each key the newest last
        self.suspected: dict[UUID, bool] = {}
        for row in sorted(rows, key=lambda row: row.lead_id):
            self._add(row.lead_id, subject_of(row), row.found_by)
            self.suspected[row.lead_id] = row.suspected

    def conflicts(self, subject: Subject, lead_id: UUID) -> list[Conflict]:
        """The other leads that the subject is like, with each reason."""
        others = self._others(subject, lead_id)
        exact = {other for key in subject.exact_keys for other in self._by_key.get(key, ())}
        ids_of, subjects = list(others), list(others.values())
        similar = {ids_of[place] for place in with_similar_name(subject, subjects)}
        return [
            Conflict(other, reason, score)
            for other, theirs in others.items()
            if other in exact or other in similar
            for reason, score in reasons(subject, theirs).items()
        ]

    def _others(self, subject: Subject, lead_id: UUID) -> dict[UUID, Subject]:
        """At most 50 leads with a common key: first those with an exact one, then those with most, then the newest."""
        common: Counter[UUID] = Counter()
        found: dict[UUID, Subject] = {}
        for key in sorted(subject.keys, key=subject.exact_keys.__contains__):  # what an exact key found has addresses
            holders = self._by_key.get(key, {})
            newest = list(holders)[-MOST_COMPARED:]
            common.update(dict.fromkeys(newest, len(subject.keys) if key in subject.exact_keys else 1))
            found |= {other: holders[other] for other in newest}
        common.pop(lead_id, None)
        return {other: found[other] for other in nlargest(MOST_COMPARED, common, key=lambda one: (common[one], one))}

    def add(self, subject: Subject, lead_id: UUID) -> None:
        """Adds a lead of this batch, or what an arrival of the batch says of one."""
        self._add(lead_id, subject, subject.keys)

    def _add(self, lead_id: UUID, subject: Subject, keys: Iterable[str]) -> None:
        for key in keys:
            self._by_key.setdefault(key, {}).setdefault(lead_id, subject)


def strongest(
    conflicts: Iterable[Conflict], is_known: Callable[[UUID], bool] = lambda _: False
) -> tuple[Conflict, ...]:
    """The conflicts with the ten leads that are likeliest to be one with it, known ones before all others, so that
    where thousands are alike (one switchboard, one name of many customers) each adds a bounded number of pairs."""
    found: dict[UUID, dict[str, int]] = {}
    conflicts = tuple(conflicts)
    for one in conflicts:
        found.setdefault(one.lead_id, {})[one.reason] = one.score or SCORES[one.reason]
    if len(found) <= MOST_TOLD:
        return conflicts
    kept = set(nlargest(MOST_TOLD, found, key=lambda one: (is_known(one), total(found[one]), one)))
    return tuple(one for one in conflicts if one.lead_id in kept)


def flag_duplicates(change: Change, conflicts: Sequence[Conflict], locked: Mapping[UUID, Change]) -> list[Change]:
    """Flags the lead as a possible duplicate of others, with the reason of each, and those of them that are not yet.

    The latter are returned. They have to be among `locked`: all whose `Candidate` is not `suspected`.
    """
    _flag(change, conflicts)
    flagged: list[Change] = []
    for conflict in conflicts:
        other = locked.get(conflict.lead_id)
        if other is not None and not other.lead.flags.get("duplicate_suspected"):
            _flag(other, [Conflict(change.lead.id, conflict.reason)])
            flagged.append(other)
    return flagged


def _flag(change: Change, conflicts: Sequence[Conflict]) -> None:
    if not conflicts:
        return
    # Of each lead the first reason, which is that of an identity if there is one; the pair has all of them.
    first = {conflict.lead_id: conflict.reason for conflict in reversed(conflicts)}
    others = [{"lead_id": ids.show("lead", lead_id), "reason": reason} for lead_id, reason in reversed(first.items())]
    set_flag(change, "duplicate_suspected", True)
    data = {"lead_id": ids.show("lead", change.lead.id), "candidates": others}
    change.early_events.append(NewEvent("lead.duplicate_suspected", data, change.now))


def mark_shared_phone(change: Change, numbers: Collection[str]) -> bool:
    """Sets the phone status of a lead if its number is one that another lead has got as well; whether it is new."""
    lead = change.lead
    if lead.fields.get("phone") not in numbers or lead.flags.get("phone_status") == "shared":
        return False
    set_flag(change, "phone_status", "shared")
    if not lead.new:
        mark_changed(change, "phone_status")
        add_updated_event(change)
    return True
