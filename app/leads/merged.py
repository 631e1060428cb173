"""What arrives at a lead into which others were merged: the journal of a merge keeps whose it is.

So an unmerge gives it to the lead through whose identity it came (docs/decisions/0056).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from app.database.transaction import Record, Tx
from app.journeys.state import Change
from app.leads import merged_sql
from app.leads.absorb import FLAGGED, Arrival
from app.leads.counting_consents import REFUSALS
from app.matching.person import Identity

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Came:
    """What one arrival has added to a lead, and what tells whose it is: the identities that the lead had before, in the
    order in which they decide, the submission that it revises, or the request that it confirms."""

    lead_id: UUID
    through: tuple[Key, ...] = ()
    rows: tuple[UUID, ...] = ()
    refusals: tuple[UUID, ...] = ()
    identities: tuple[Identity, ...] = ()
    item: tuple[UUID | None, int | None] = (None, None)
    revises: UUID | None = None
    confirms: Record | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    taken: Sequence[str] = ()


class Before:
    """What a change has before an arrival."""

    def __init__(self, change: Change, identities: Iterable[Identity]) -> None:
        known = {one.key for one in change.lead.identities}
        self.through = tuple(one.key for one in identities if one.key in known)
        self.change, self.added, self.journey = change, _added(change), change.lead.journey

    def came(self, arrival: Arrival | None = None) -> list[Came]:
        """What an arrival has added since, or an activity; nothing for a lead into which none was merged."""
        change = self.change
        if not change.lead.has_merged:
            return []
        activities, consents, touches, requests, identities, origins = (
            new[before:] for new, before in zip(_lists(change), self.added, strict=True)
        )
        rows = [one.activity.id for one in activities] + [one.id for one in (*consents, *touches, *requests)]
        journey = change.lead.journey
        if journey is not None and (self.journey is None or journey.id != self.journey.id):
            rows.append(journey.id)
        refusals = tuple(one.id for one in consents if one.state in REFUSALS)
        one = Came(change.lead.id, self.through, tuple(rows), refusals, tuple(identities))
        if arrival is None:
            return [one]
        place = (arrival.submission_id, arrival.item_index)
        taken = [name for origin in origins for name in origin.fields]
        return [replace(one, item=place, revises=arrival.revises, said=_said(arrival), taken=taken)]


def _lists(change: Change) -> tuple[list[Any], ...]:
    said = (change.new_activities, change.new_consents, change.new_touches, change.new_requests)
    return (*said, change.new_identities, change.origins)


def _added(change: Change) -> list[int]:
    return [len(one) for one in _lists(change)]


def _said(arrival: Arrival) -> dict[str, Any]:
    person, custom = arrival.person, {**arrival.person.custom, **arrival.custom}
    flags = {name: getattr(person, name) for name in (*FLAGGED, "phone_status")}
    said = {"fields": dict(person.fields), "raw": dict(person.raw), "flags": flags, "custom": custom}
    return said | {"purposes": [] if arrival.reprocessed else [one.purpose for one in arrival.consents]}


async def keep_apart(tx: Tx, tenant_id: UUID, came: Sequence[Came]) -> None:
    """Writes to the journals what came for which of the leads. A refusal of which that cannot be told is both's."""
    if not came:
        return
    live = await merged_sql.live_merges(tx, tenant_id, {one.lead_id for one in came})
    journals = [_Journal(row) for row in live]
    for one in came:
        for_lead = {one.lead_id}
        for journal in journals:  # those of a lead come before those of the leads merged into that
            if journal.row.survivor_id not in for_lead:
                continue
            is_theirs = journal.add(one)
            if is_theirs is None:
                await merged_sql.copy_consents(tx, tenant_id, one.refusals, journal.row.merged_id)
            if is_theirs is not False:
                for_lead.add(journal.row.merged_id)
    await merged_sql.keep_journals(tx, tenant_id, [one.values() for one in journals])


class _Journal:
    """The journal of one merge, to which more is added."""

    def __init__(self, row: Record) -> None:
        self.row = row
        self.moved, self.items = list(row.moved), list(row.submission_items)
        self.identities, self.filled = list(row.identities), dict(row.filled)

    def values(self) -> dict[str, Any]:
        rows = {"submission_items": self.items, "identities": self.identities, "filled": self.filled}
        return {"id": self.row.id, "moved": [str(one) for one in self.moved], **rows}

    def add(self, came: Came) -> bool | None:
        """Adds what came if it is of the merged lead; whether it is, None if that cannot be told."""
        is_theirs = self._is_theirs(came)
        if came.said:
            since = {**came.said, "merged": bool(is_theirs)}
            self.filled["since"] = [*self.filled.get("since", ()), since]
        if not is_theirs:
            return is_theirs
        self.moved += came.rows
        if came.item[0] is not None:
            self.items.append({"submission_id": str(came.item[0]), "index": came.item[1]})
        for one in came.identities:
            primary = one.kind not in {known["kind"] for known in self.identities if known["primary"]}
            kind, namespace, value = one.key
            known = {"kind": kind, "namespace": namespace, "value": value, "primary": primary, "moved": True}
            self.identities.append(known)
        for name in came.taken:
            of, _, custom = name.partition("custom.")
            part, taken = ("fields", of) if of else ("custom", custom)
            self.filled[part] = [*self.filled[part], taken]
        return True

    def _is_theirs(self, came: Came) -> bool | None:
        if came.confirms is not None:
            request = came.confirms
            return request.lead_id == self.row.merged_id or request.id in self.moved
        own = {(one["kind"], one["namespace"], one["value"]): one["moved"] for one in self.identities}
        for key in came.through:
            if own.get(key) is not False:  # False: both leads had it
                return key in own
        if came.revises is not None:
            return any(one["submission_id"] == str(came.revises) for one in self.items)
        return None
