"""Whose leads the rows of one list would be, and what of them would not count: for a dry run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.events.waiting import with_connection
from app.journeys.state import Change, Lead
from app.leads import sql
from app.leads.absorb import add_consents, claims_refused
from app.leads.capture import CONSENT_WITHDRAWN, Captured, IdentityIndex, why_no_lead
from app.leads.duplicates import Alike
from app.leads.references import Unknown
from app.leads.withdrawals import Withdrawals, withdrawals_of
from app.matching.person import Person
from app.policies.published import Published, active_policy
from app.submissions.entries import Entry

MAX_KNOWN: Final = 20_000  # identities of earlier rows that later ones are compared with
NONE_UNKNOWN: Final[Unknown] = frozenset()


class ForeseenPeople:
    """Matches rows to leads that are stored, and to those that earlier rows of the list would make, as capture does."""

    def __init__(self, state: Any, tenant_id: UUID, now: datetime) -> None:
        self._state, self._tenant_id, self._now = state, tenant_id, now
        self._policy: Published | None = None
        self._forget()

    def _forget(self) -> None:
        self._index, self._withdrawn = IdentityIndex((), Alike()), Withdrawals(())
        self._changes: dict[UUID, Change] = {}
        self._asked: set[tuple[str, str, str]] = set()

    async def begin(self, people: Collection[Person]) -> None:
        """Reads what is stored of the people of the next rows; of a long list it forgets the earlier rows first."""
        if len(self._asked) > MAX_KNOWN:
            self._forget()
        await self.load(people)

    async def load(self, people: Collection[Person] = (), lead_ids: Collection[UUID] = ()) -> None:
        """Reads what is stored of these people, and of these leads, unless it is known."""
        new = {one.key: one for person in people for one in person.identities if one.key not in self._asked}
        leads = set(lead_ids) - self._changes.keys()
        if not new and not leads and self._policy is not None:
            return
        self._asked |= new.keys()

        async def read(tx: Tx) -> None:
            self._policy = self._policy or await active_policy(tx, self._tenant_id)
            found = await sql.candidates(tx, self._tenant_id, list(new.values()))
            for one in found:
                self._index.by_key.setdefault((one.kind, one.namespace, one.value), []).append(one.lead_id)
                self._index.leads.setdefault(one.lead_id, one)
            self._withdrawn.update(await withdrawals_of(tx, self._tenant_id, new.values()))
            unread = (leads | {one.lead_id for one in found}) - self._changes.keys()
            for row in await sql.consent_states(tx, self._tenant_id, unread):
                change = self._begin(row.id)
                change.lead.consents, change.lead.flags = dict(row.consents), dict(row.flags)

        await with_connection(self._state, read)

    def knows(self, person: Person | None) -> bool:
        """Whether a lead has an identity of the person."""
        return person is not None and any(self._index.by_key.get(one.key) for one in person.identities)

    def arrive(self, entry: Entry) -> Entry:
        """The entry as it would be captured; what is stored of its person has to be loaded."""
        arrival = entry.arrival(NONE_UNKNOWN)
        match = self._index.resolve(arrival)
        if match.lead_id is None and (not arrival.create or not arrival.person.identities):
            self._withdrawn.add(arrival, self._now)
            return replace(entry, captured=Captured(None, reason=why_no_lead(arrival)))
        lead_id = match.lead_id or ids.new_id()
        change = self._changes.get(lead_id) or self._begin(lead_id)
        self._withdrawn.apply(change, match.new_identities)
        add_consents(change, arrival, min(arrival.occurred_at, self._now))
        self._index.add(match.new_identities, lead_id, arrival)
        reason = CONSENT_WITHDRAWN if claims_refused(change, arrival) else None
        return replace(entry, captured=Captured(lead_id, reason=reason))

    def _begin(self, lead_id: UUID) -> Change:
        assert self._policy is not None, "load comes first"
        lead = Lead(lead_id, created_at=self._now, updated_at=self._now)
        self._changes[lead_id] = Change(lead, self._policy, None, self._now)
        return self._changes[lead_id]
