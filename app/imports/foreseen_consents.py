"""Which rows of a list would claim a consent that the person has refused or withdrawn: for a dry run."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from app.events.waiting import with_connection
from app.imports.rows import Row
from app.leads.counting_consents import REFUSALS
from app.leads.refused import refused_purposes
from app.matching.person import Person
from app.sources.item import Item
from app.sources.ready import ReadySource
from app.submissions.entries import ARRIVING


class ForeseenConsents:
    """Finds such rows by what is stored, and by what earlier rows of the same list refuse."""

    def __init__(self, state: Any, source: ReadySource, now: datetime) -> None:
        self._state, self._tenant_id, self._now = state, source.tenant_id, now
        self._refused: set[tuple[tuple[str, str, str], str]] = set()  # identity and purpose
        self._numbers = array("I")

    async def add(self, rows: Sequence[Row], items: Sequence[Item], verdicts: Sequence[str]) -> None:
        """Takes the next rows of the list, with the verdicts that they would have."""
        arriving = [
            (row, item, item.person)
            for row, item, verdict in zip(rows, items, verdicts, strict=True)
            if item.person is not None and item.consents and verdict in (*ARRIVING, "revised")
        ]
        people = [person for _, _, person in arriving]
        if not people:
            return
        stored = await with_connection(self._state, lambda tx: refused_purposes(tx, self._tenant_id, people, self._now))
        for (row, item, person), purposes in zip(arriving, stored, strict=True):
            if self._claims_refused(item, person, purposes):
                self._numbers.append(row.number)

    def numbers(self, repeated: Collection[int]) -> set[int]:
        """The rows found, without those that turn out to be repeats."""
        return {number for number in self._numbers if number not in repeated}

    def _claims_refused(self, item: Item, person: Person, purposes: Collection[str]) -> bool:
        own = [identity.key for identity in person.identities if not identity.shared]
        given = {one.purpose for one in item.consents if one.state == "given"}
        refused = {one.purpose for one in item.consents if one.state in REFUSALS}
        before = {purpose for purpose in given if any((key, purpose) in self._refused for key in own)}
        self._refused.update((key, purpose) for key in own for purpose in refused)
        return bool(before or given & ({*purposes} | refused))
