"""Withdrawals of people who are no leads: they make none, and count for the lead that has the address later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.journeys.state import Change, NewConsent
from app.leads import consent_sql
from app.leads.absorb import Arrival, new_consent
from app.leads.counting_consents import REFUSALS, apply_consents
from app.matching.person import Identity

# It was said before, and not by who makes the change with which the lead gets the address.
UNKNOWN_PERSON: Final = {"id": None, "kind": "service", "role": "service"}


class Withdrawals:
    """Withdrawals by the hash of an address: those that are stored, and those that this transaction adds."""

    def __init__(self, stored: Iterable[Record]) -> None:
        self._by_address: dict[str, list[NewConsent]] = {}
        self.new_rows: list[dict[str, Any]] = []
        for row in stored:
            said = NewConsent(
                *(row.purpose, row.state, row.occurred_at, row.text, row.channel, row.source_id, row.submission_id),
                text_version=row.text_version,
                actor=UNKNOWN_PERSON,
            )
            self._by_address.setdefault(row.address_sha256, []).append(said)

    def update(self, others: Withdrawals) -> None:
        """Adds the withdrawals of other addresses."""
        self._by_address.update(others._by_address)

    def add(self, arrival: Arrival, now: datetime) -> None:
        """Adds what somebody unknown refuses or withdraws. A consent that is given is not kept: it is nobody's."""
        for consent in arrival.consents:
            if consent.state not in REFUSALS:
                continue
            when = min(consent.occurred_at or arrival.occurred_at, now)
            said = replace(
                new_consent(arrival, consent, consent.state, when),
                client_address=None,
                bought=False,
                actor=UNKNOWN_PERSON,
            )
            for address in _addresses(arrival.person.identities):
                self._by_address.setdefault(address, []).append(said)
                self.new_rows.append({**asdict(said), "address_sha256": address})

    def apply(self, change: Change, identities: Iterable[Identity]) -> None:
        """Applies what was withdrawn with these addresses, which the lead gets now. A consent that the person gives
        later counts before it (`apply_consents`)."""
        found = [one for address in _addresses(identities) for one in self._by_address.get(address, ())]
        change.new_consents += found
        apply_consents(change, found)


async def withdrawals_of(tx: Tx, tenant_id: UUID, identities: Iterable[Identity]) -> Withdrawals:
    """What is stored of the addresses among these identities, which have to be locked."""
    return Withdrawals(await consent_sql.withdrawals(tx, tenant_id, set(_addresses(identities))))


def _addresses(identities: Iterable[Identity]) -> list[str]:
    return [hashlib.sha256(one.value.encode()).hexdigest() for one in identities if one.kind == "email"]
