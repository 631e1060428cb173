"""The consents of a lead reach the contact that it is linked to, in the same transaction (docs/decisions/0028)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.ids import shown
from app.journeys.state import Change, Lead
from app.leads import sql
from app.matching.person_consents import UNKNOWN, Consent, Consents, replacing


async def consents_to_carry(tx: Tx, tenant_id: UUID, leads: Sequence[Lead]) -> Mapping[UUID, Consents]:
    """The consents of each lead, by purpose: the entry of its log that counts, `unknown` where there is none."""
    found: dict[UUID, dict[str, Consent]] = {lead.id: dict.fromkeys(lead.consents, UNKNOWN) for lead in leads}
    for row in await sql.latest_consents(tx, tenant_id, [lead.id for lead in leads if lead.consents]):
        found[row.lead_id][row.purpose] = consent_of(row, row.occurred_at)
    return found


def consent_of(row: Mapping[str, Any], occurred_at: datetime) -> Consent:
    """An entry of the log, as contacts keep it."""
    return {
        "state": row["state"],
        "occurred_at": occurred_at.isoformat(),
        "text": row["text"],
        "channel": row["channel"],
        "source_id": None if row["source_id"] is None else str(row["source_id"]),
        "bought": row["bought"],
    }


async def carry_to_contacts(
    tx: Tx, tenant_id: UUID, changes: Sequence[Change], now: datetime, *, again: bool = False
) -> None:
    """Carries consents to linked contacts, where the change has new ones or has made the link, or `again`.

    Runs after the changes are recorded: what counts is read from the consent log.
    """
    leads = [
        one.lead for one in changes if one.lead.contact_id and (again or one.new_consents or _is_newly_linked(one))
    ]
    if not leads:
        return
    carried = await consents_to_carry(tx, tenant_id, leads)
    changed: list[dict[str, Any]] = []
    for contact in await sql.lock_contacts(tx, tenant_id, {lead.contact_id for lead in leads if lead.contact_id}):
        consents = dict(contact.consents)
        for lead in leads:
            if lead.contact_id == contact.id:
                consents |= replacing(consents, carried[lead.id])
        if consents != contact.consents:
            changed.append({"id": contact.id, "consents": consents})
    await sql.set_contact_consents(tx, tenant_id, changed, now)


def _is_newly_linked(change: Change) -> bool:
    before = change.loaded and change.loaded["links"]["contact_id"]
    return shown("contact", change.lead.contact_id) != before
