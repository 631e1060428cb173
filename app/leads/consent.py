"""Consent given, refused or withdrawn other than by a form: appended to the consent log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.transaction import Records, Tx
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import record
from app.journeys.state import Change, NewConsent
from app.leads import sql
from app.leads.consent_schemas import ConsentIn
from app.leads.contact_consents import carry_to_contacts
from app.leads.counting_consents import apply_consents
from app.leads.future import check_not_future
from app.matching.consent import KNOWN_PURPOSES
from app.web.auth import Caller
from app.web.pages import read_cursor, read_place, write_cursor

CHANNEL = "api"


async def purposes(tx: Tx, tenant_id: UUID) -> list[dict[str, Any]]:
    """The known purposes, then those that the tenant uses besides."""
    used = await sql.consent_purposes(tx, tenant_id)
    named = dict.fromkeys([*KNOWN_PURPOSES, *used])
    return [{"purpose": one, "known": one in KNOWN_PURPOSES, "used": one in used} for one in named]


def consent_times(consents: Sequence[ConsentIn]) -> dict[str, datetime | None]:
    """The times of consents by the names of their members in a request."""
    return {f"consents.{n}.occurred_at": one.occurred_at for n, one in enumerate(consents)}


async def put_consents(
    tx: Tx, caller: Caller, lead_id: UUID, consents: Sequence[ConsentIn], expected: frozenset[str] | None, now: datetime
) -> Change:
    """Appends to the consent log; the latest entry of each purpose counts, also for the contact of the lead.

    A time a little ahead, of a fast clock, is taken as now: else it would win over what the person says next.
    Raises OutOfOrder for a time in the future.
    """
    check_not_future(consent_times(consents), now)
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    new = [
        NewConsent(
            *(one.purpose, one.state, min(one.occurred_at or now, now), one.text, CHANNEL),
            text_version=one.text_version,
            client_address=one.client_address,
        )
        for one in consents
    ]
    change.new_consents += new
    apply_consents(change, new)
    evaluate(change)
    await record(tx, caller.tenant_id, [change])
    await carry_to_contacts(tx, caller.tenant_id, [change], now)
    return change


@dataclass(frozen=True, slots=True)
class ConsentPage:
    """Entries of the consent log of a lead, oldest first, and the cursor of the page after them."""

    rows: Records
    next: str | None


async def consent_log(tx: Tx, tenant_id: UUID, lead_id: UUID, limit: int, cursor: str | None) -> ConsentPage:
    """A page of the consent log. Raises CursorInvalid."""
    filters = {"consents": lead_id}
    after = None if cursor is None else read_place(*read_cursor(cursor, filters, 2))
    rows = await sql.consents_of(tx, tenant_id, lead_id, limit + 1, after)
    last = rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else write_cursor(filters, last.recorded_at.isoformat(), str(last.id))
    return ConsentPage(rows[:limit], following)
