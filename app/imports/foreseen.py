"""Which rows of a list would be repeats, of one another or of what was imported before: for a dry run."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.events.waiting import with_connection
from app.imports import sql
from app.imports.foreseen_people import ForeseenPeople
from app.imports.rows import Row
from app.sources.item import Item
from app.sources.ready import ReadySource
from app.submissions import sql as submissions_sql
from app.submissions.entries import ARRIVING, Entry
from app.submissions.repeats import Held, compared, leaves_key, takers

UNKNOWN: Final = "file"  # the hash in the keys of rows, until the file has arrived
MAX_KEYS: Final = 20_000  # rows with a key of their own that are kept to compare later ones with
MAX_EQUAL: Final = 100_000  # rows that are kept to find equal ones
ROWS_TOGETHER: Final = 1_000  # of which it is asked at once whether they were imported
NOWHERE: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class _First:
    """A row of this list as it would be stored, to be compared with later ones that have its key."""

    submission_key: str
    verdict: str
    mapped: Mapping[str, Any] | None
    lead_id: UUID | None
    received_at: datetime
    submission_id: UUID = NOWHERE
    place: int = 0


class Foreseen:
    """The entries that the rows of one list would become. `equal`: how many have the cells of an earlier one."""

    def __init__(self, state: Any, source: ReadySource, now: datetime) -> None:
        self._state, self._source, self._now = state, source, now
        self._people = ForeseenPeople(state, source.tenant_id, now)
        self._firsts: dict[str, _First] = {}
        self._histories: dict[tuple[str, UUID | None], list[Held]] = {}
        # Rows whose key is their place in the file: by verdict, and whether a lead is known of the person.
        self._numbers: dict[tuple[str, bool], array[int]] = {}
        self._known: set[int] = set()
        self.equal = 0

    async def entries(self, rows: Sequence[Row], items: Sequence[Item]) -> list[Entry]:
        """What each row would be stored as. That the same file was imported before is known only at its end."""
        entries = [Entry(NOWHERE, self._source, item, self._now, listed=True) for item in items]
        await self._people.begin([item.person for item in items if item.person and item.verdict in ARRIVING])
        taken = iter(await self._takers([entry for entry in entries if _has_own_key(entry.item)]))
        found = []
        for row, entry in zip(rows, entries, strict=True):
            self._count_equal(row)
            is_known = self._people.knows(entry.item.person)
            if _has_own_key(entry.item):
                found.append(await self._of_key(entry, *next(taken)))
                continue
            found.append(self._arrived(entry))
            if entry.item.verdict != "quarantined":
                self._numbers.setdefault((entry.item.verdict, is_known), array("I")).append(row.number)
        return found

    def _arrived(self, entry: Entry) -> Entry:
        return self._people.arrive(entry) if entry.item.verdict in ARRIVING else entry

    async def repeated(self, sha256: str) -> tuple[Counter[str], set[int]]:
        """How many rows of each verdict would be duplicates, because this file was imported; and which, by number."""
        counts, repeats = Counter[str](), set[int]()
        tenant_id, source_id = self._source.tenant_id, self._source.id
        if not await with_connection(self._state, lambda tx: sql.is_imported(tx, tenant_id, source_id, sha256)):
            return counts, repeats
        for (verdict, is_known), numbers in self._numbers.items():
            for start in range(0, len(numbers), ROWS_TOGETHER):
                keys = {f"{sha256}:{number}": number for number in numbers[start : start + ROWS_TOGETHER]}
                held = await self._held(list(keys))
                taken = [key for key, first in held.items() if not leaves_key(first, verdict, is_known=is_known)]
                counts[verdict] += len(taken)
                repeats.update(keys[key] for key in taken)
        return counts, repeats

    def _count_equal(self, row: Row) -> None:
        cells = hash(tuple(row.cells.items()))
        self.equal += cells in self._known
        if len(self._known) < MAX_EQUAL:
            self._known.add(cells)

    async def _held(self, keys: Sequence[str]) -> dict[str, Held]:
        """What was stored under these keys of the source."""
        wanted = {(self._source.id, key) for key in keys}
        if not wanted:
            return {}
        tenant_id = self._source.tenant_id
        found = await with_connection(self._state, lambda tx: submissions_sql.held_items(tx, tenant_id, wanted))
        return {key: row for (_, key), row in found.items()}

    async def _takers(self, entries: Sequence[Entry]) -> list[tuple[Held | None, list[Held]]]:
        """What is stored under the keys of the entries."""
        if not entries:
            return []
        return await with_connection(self._state, lambda tx: takers(tx, self._source.tenant_id, entries))

    async def _of_key(self, entry: Entry, first: Held | None, history: Sequence[Held]) -> Entry:
        """A row whose key its document gives, as processing would find it (submissions/repeats.py)."""
        key, is_known = entry.item.submission_key, self._people.knows(entry.item.person)
        while (first := self._firsts.get(entry.key[1]) or first) is not None and not leaves_key(
            first, entry.item.verdict, is_known=is_known
        ):
            of_lead = self._histories.get((key, first.lead_id), [])
            entry = compared(entry, first, [*history, *of_lead])
            if entry.duplicate:
                return entry
            ((first, history),) = await self._takers([entry])
        if entry.revised_lead_id is not None:
            await self._people.load(lead_ids=[entry.revised_lead_id])
        entry = self._arrived(entry)
        if len(self._firsts) < MAX_KEYS:
            stored = _First(entry.key[1], entry.verdict, entry.mapped(), entry.lead_id, self._now)
            self._firsts[entry.key[1]] = stored
            self._histories.setdefault((key, entry.lead_id), []).append(stored)
        return entry


def _has_own_key(item: Item) -> bool:
    return item.verdict != "quarantined" and not item.submission_key.startswith(f"{UNKNOWN}:")
