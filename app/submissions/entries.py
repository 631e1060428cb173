"""The items of claimed submissions on their way: from mapped item to the row that is kept and the arrival it makes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, sqlstate
from app.leads.capture import Arrival, ArrivalActivity, Captured
from app.matching.person import Person
from app.sources.item import Item, shown
from app.sources.mapping import keyless, map_aside
from app.sources.ready import ReadySource
from app.sources.request import RawRequest
from app.submissions.redact import redacted

ARRIVING: Final = frozenset({"lead", "activity", "consent"})
ACTING: Final = frozenset({"lead", "activity"})

Place = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of one submission. `again`: it made or met its lead before; `failed`: why it is kept without content;
    `captured`: what came of it as an arrival."""

    submission_id: UUID
    source: ReadySource
    item: Item
    again: bool = False
    failed: str | None = None
    captured: Captured | None = None

    @property
    def place(self) -> Place:
        return self.submission_id, self.item.index

    @property
    def key(self) -> tuple[UUID, str]:
        return self.source.id, self.item.submission_key

    @property
    def lead_id(self) -> UUID | None:
        return self.captured.lead_id if self.captured else None

    @property
    def verdict(self) -> str:
        """A lead that could not be made is quarantined; news of a person nobody knows stays what it is."""
        is_lost = self.item.verdict == "lead" and self.captured is not None and self.captured.lead_id is None
        return "quarantined" if self.failed or is_lost else self.item.verdict

    @property
    def reason(self) -> str | None:
        return self.failed or (self.captured.reason if self.captured else self.item.reason)

    def row(self) -> dict[str, Any]:
        """What became of it, for `submission_items`."""
        return {
            "submission_id": self.submission_id,
            "index": self.item.index,
            "source_id": self.source.id,
            "submission_key": self.item.submission_key,
            "verdict": self.verdict,
            "reason": self.reason,
            "lead_id": self.lead_id,
        }

    def mapped(self) -> dict[str, Any] | None:
        """What was understood of it. What the database refused once is kept without."""
        return None if self.failed else shown(self.item)

    def arrival(self) -> Arrival:
        """Who came in, and by which activity: one for each item, under the submission's key."""
        item = self.item
        properties = {"submission_id": ids.show("submission", self.submission_id)}
        # A row of a bought list is nobody's sign of interest: its person starts where `entry` says, and stays there.
        acts = item.verdict in ACTING and item.entry is None
        activity = ArrivalActivity(item.submission_key, item.activity_type, item.activity_kind, properties)
        return Arrival(
            person=item.person or Person(),
            occurred_at=item.occurred_at,
            source_id=self.source.id,
            source_name=self.source.name,
            activity=activity if acts else None,
            attribution=item.attribution,
            consents=item.consents,
            custom=item.custom,
            entry=item.entry,
            create=item.verdict == "lead",
            submission_id=self.submission_id,
            reprocessed=self.again,
        )


def refused(error: Exception) -> str:
    """Why the database or a rule refused an item: only the kind of fault, for its words may hold what was typed."""
    return " ".join(filter(None, ("processing_failed", type(error).__name__, sqlstate(error))))


def request_of(row: Record) -> RawRequest:
    """The request of a stored submission."""
    return RawRequest(row.method, row.headers, row.query, bytes(row.body), row.received_at)


def whole(row: Record, source: ReadySource, reason: str) -> Entry:
    """A submission as one quarantined entry, for what failed before or beside its items."""
    key = keyless(source.id, hashlib.sha256(row.body).hexdigest(), row.received_at)
    item = Item(0, "quarantined", key, row.received_at, reason="mapping_failed")
    return Entry(row.id, source, item, failed=reason)


async def entries_of(
    rows: Sequence[Record], sources: Mapping[UUID, ReadySource], earlier: Mapping[UUID, Sequence[Record]]
) -> list[Entry]:
    """Every item of the submissions, mapped; in slices, so that the event loop serves others between them."""
    entries: list[Entry] = []
    for row in rows:
        source = sources[row.source_id]
        if source.document is None:
            entries.append(whole(row, source, "mapping_failed"))
            continue
        items = await map_aside(source.document, request_of(row), source.id)
        made = [one for one in earlier.get(row.id, ()) if one.lead_id and one.verdict in ARRIVING]
        entries += [Entry(row.id, source, item, _is_again(item, made)) for item in items]
    return entries


def _is_again(item: Item, made: Sequence[Record]) -> bool:
    return any(item.index == one.place or item.submission_key == one.submission_key for one in made)


def kept_body(row: Record, source: ReadySource) -> str | None:
    """The body to keep instead, in base64, where the sender's holds secrets; None where it stays as it came."""
    if source.document is None or not source.document.parse.drop:
        return None
    body = redacted(source.document.parse, request_of(row))
    return None if body is None or body == bytes(row.body) else base64.b64encode(body).decode()
