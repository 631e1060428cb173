"""Entries: the mapped items of claimed submissions, as rows of `submission_items` and as arrivals to capture."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.sqlstate import sqlstate
from app.database.transaction import Record
from app.leads.capture import SUPPRESSED, Arrival, ArrivalActivity, Captured
from app.leads.references import Unknown, with_unknown_apart
from app.matching.person import Person
from app.policy.facts import Actor
from app.sources.item import KEY_SEPARATOR, Item, item_to_json
from app.sources.mapping import content_key, map_request_async
from app.sources.ready import ReadySource
from app.sources.request import RawRequest
from app.submissions.erased import own_key
from app.submissions.listed import ListedRows, map_rows
from app.submissions.redact import redacted

ARRIVING: Final = frozenset({"lead", "activity", "consent"})
# What makes or touches a lead, or will when its record is fetched. Only that can be repeated.
TAKING: Final = ARRIVING | {"fetch"}
KEY_REUSED: Final = "key_reused"

PROCESSOR: Final = Actor(id=None, kind="service", role="service")

Place = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One item in processing. `earlier_lead_id`: the lead it had before; `failed`: why it is quarantined without its
    content; `captured`: the result of its capture. `key_suffix`, `revised_lead_id`, `revises`, `reused`,
    `duplicate`: what was found where another item has its key (repeats.py). `listed`: a row of an imported list."""

    submission_id: UUID
    source: ReadySource
    item: Item
    received_at: datetime
    earlier_lead_id: UUID | None = None
    failed: str | None = None
    captured: Captured | None = None
    key_suffix: str = ""
    revised_lead_id: UUID | None = None
    revises: UUID | None = None
    reused: bool = False
    duplicate: bool = False
    listed: bool = False
    client_address: str | None = None

    @property
    def place(self) -> Place:
        return self.submission_id, self.item.index

    @property
    def key(self) -> tuple[UUID, str]:
        return self.source.id, self.item.submission_key + self.key_suffix

    def apart(self) -> Entry:
        """The entry under a key of its own, where it stands in the way of none."""
        return replace(self, key_suffix=f"{KEY_SEPARATOR}{self.submission_id.hex}-{self.item.index}")

    @property
    def lead_id(self) -> UUID | None:
        return self.captured.lead_id if self.captured else None

    @property
    def suppressed(self) -> bool:
        """Whether the person was erased, so that nothing of the item is stored."""
        return self.captured is not None and self.captured.reason == SUPPRESSED

    @property
    def verdict(self) -> str:
        """A lead that could not be created is quarantined. An activity or consent of an unknown person is not."""
        if self.suppressed:
            return SUPPRESSED
        is_lost = self.item.verdict == "lead" and self.captured is not None and self.captured.lead_id is None
        if self.failed or is_lost:
            return "quarantined"
        return "revised" if self.revised_lead_id else self.item.verdict

    @property
    def reason(self) -> str | None:
        found = self.failed or (self.captured.reason if self.captured else self.item.reason)
        return found or (KEY_REUSED if self.reused else None)

    def row(self) -> dict[str, Any]:
        """The values of the row in `submission_items`."""
        return {
            "submission_id": self.submission_id,
            "index": self.item.index,
            "source_id": self.source.id,
            "submission_key": own_key(*self.place) if self.suppressed else self.key[1],
            "verdict": self.verdict,
            "reason": self.reason,
            "lead_id": self.lead_id,
            "fetch_at": self.received_at if self.item.fetch_url and self.verdict == "fetch" else None,
        }

    def mapped(self) -> dict[str, Any] | None:
        """The mapped values; None for a failed item, which the database may refuse again, and a suppressed one."""
        if self.failed or self.suppressed:
            return None
        mapped, person = item_to_json(self.item), self.item.person or Person()
        flags = [*mapped["flags"], *([KEY_REUSED] if self.reused else [])]
        identities = [[one.kind, one.namespace, one.value, one.shared] for one in person.identities]
        return {**mapped, "flags": flags, "identities": identities, "content_sha256": self.item.content_sha256}

    def arrival(self, unknown: Unknown) -> Arrival:
        """The person and activity to capture; the activity's key is the submission key.

        `unknown`: what is given as an id in attributions and names no record.
        """
        item = self.item
        properties = {**item.activity_properties, "submission_id": ids.show("submission", self.submission_id)}
        acts = item.acts and self.revised_lead_id is None
        key = item.submission_key + self.key_suffix.replace(KEY_SEPARATOR, "#")
        activity = ArrivalActivity(key, item.activity_type, item.activity_kind, properties)
        return Arrival(
            person=item.person or Person(),
            occurred_at=item.occurred_at,
            source_id=self.source.id,
            source_name=self.source.name,
            actor=PROCESSOR,
            activity=activity if acts else None,
            attribution={**with_unknown_apart(item.attribution, unknown), "channel": item.channel},
            consents=item.consents,
            of_list=self.listed,
            custom=item.custom,
            entry=item.entry,
            create=item.verdict == "lead",
            submission_id=self.submission_id,
            client_address=self.client_address,
            earlier_lead_id=self.earlier_lead_id,
            revised_lead_id=self.revised_lead_id,
            revises=self.revises,
            item_index=item.index,
            submission_key=item.submission_key,
            double_opt_in=self.source.double_opt_in,
        )


def failure_reason(error: Exception) -> str:
    """The reason of a failed item: exception type and SQLSTATE. The message may contain personal data."""
    return " ".join(filter(None, ("processing_failed", type(error).__name__, sqlstate(error))))


def request_of(row: Record) -> RawRequest:
    """The request of a stored submission."""
    cleared = row.review is not None
    return RawRequest(
        row.method,
        row.headers,
        row.query,
        bytes(row.body),
        row.received_at,
        suspicion=row.suspicion,
        cleared=cleared,
        bot_check=row.bot_check,
    )


def quarantined_submission(row: Record, source: ReadySource, reason: str) -> Entry:
    """A whole submission as one quarantined entry, when it failed outside of its items."""
    key = content_key(source.id, hashlib.sha256(row.body).hexdigest(), row.received_at)
    item = Item(0, "quarantined", key, row.received_at, reason="mapping_failed")
    return Entry(row.id, source, item, row.received_at, failed=reason)


async def entries_of(
    rows: Sequence[Record], sources: Mapping[UUID, ReadySource], earlier: Mapping[UUID, Sequence[Record]]
) -> list[Entry]:
    """Maps the submissions and returns all their items; yields to the event loop between submissions."""
    entries: list[Entry] = []
    for row in rows:
        source = sources[row.source_id]
        if source.document is None:
            entries.append(quarantined_submission(row, source, "mapping_failed"))
            continue
        if row.listed is None:
            items = await map_request_async(source.document, request_of(row), source.id)
        else:
            items = await map_rows(source, ListedRows.of(row))
        with_lead = [one for one in earlier.get(row.id, ()) if one.lead_id and one.verdict in (*ARRIVING, "revised")]
        is_listed = row.listed is not None
        entries += [
            Entry(
                *(row.id, source, item, row.received_at, _earlier_lead_id(item, with_lead)),
                listed=is_listed,
                client_address=row.client_address,
            )
            for item in items
        ]
    return entries


def _earlier_lead_id(item: Item, with_lead: Sequence[Record]) -> UUID | None:
    for one in with_lead:
        if item.index == one.place or item.submission_key == one.submission_key:
            lead_id: UUID = one.lead_id
            return lead_id
    return None


def redacted_body(row: Record, source: ReadySource) -> str | None:
    """The body without its secrets, in base64, to replace the stored one; None when nothing is to be replaced."""
    if source.document is None or not source.document.parse.drop or row.listed is not None:
        return None
    body = redacted(source.document.parse, request_of(row))
    return None if body is None or body == bytes(row.body) else base64.b64encode(body).decode()
