"""Confirm the consents of a link: they are given from now on."""

from __future__ import annotations

from datetime import datetime
from hmac import compare_digest
from typing import Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import ConfirmationExpired, ConfirmationNotFound, LeadMerged
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import record
from app.journeys.state import Change, NewConsent
from app.leads import consent_sql
from app.leads.contact_consents import carry_to_contacts
from app.leads.counting_consents import apply_consents
from app.leads.double_opt_in import CHANNEL, Token, is_refused_since
from app.leads.merged import Came, keep_apart
from app.policy.facts import Actor

VISITOR: Final = Actor(id=None, kind="service", role="service")
MAX_MERGES: Final = 20


async def confirm(tx: Tx, text: str, address: str | None, now: datetime) -> Record:
    """Gives the consents of a link once, and returns its request; a second time changes nothing.

    Raises ConfirmationNotFound for a link that was never made, ConfirmationExpired for one that is too old or has
    nothing to confirm any more, because the person has refused since, and Erased where the lead was erased.
    """
    request, change = await _opened(tx, text, now, address)
    if change is None:
        return request
    await record_said(tx, change, request, now)
    await consent_sql.set_confirmed(tx, request.tenant_id, request.id, now)
    return request


async def look_at(tx: Tx, text: str, address: str | None, now: datetime) -> Record:
    """What `confirm` would return or raise; writes nothing."""
    request, _ = await _opened(tx, text, now)
    return request


async def _opened(tx: Tx, text: str, now: datetime, address: str | None = None) -> tuple[Record, Change | None]:
    """The request of a link, and the consents that it gives as a change of the lead; None where it has given them."""
    token = Token.read(text)
    request = await consent_sql.lock_request(tx, token.tenant_id, token.request_id) if token else None
    if token is None or request is None or not compare_digest(token.sha256, request.secret_sha256):
        raise ConfirmationNotFound()
    if request.confirmed_at is None and now >= request.expires_at:
        raise ConfirmationExpired()
    change = await begin_for_visitor(tx, token.tenant_id, request.lead_id, now)
    texts = {
        purpose: seen
        for purpose, seen in request.texts.items()
        if not is_refused_since(change.lead, purpose, request.requested_at)
    }
    if not texts:
        raise ConfirmationExpired()
    if request.confirmed_at is not None:
        return request, None
    change.new_consents += [
        NewConsent(
            *(purpose, "given", now, seen, CHANNEL, request.source_id, request.submission_id),
            text_version=request.text_versions.get(purpose),
            client_address=address,
            confirmation_id=request.id,
        )
        for purpose, seen in texts.items()
    ]
    return request, change


async def record_said(tx: Tx, change: Change, link: Record, now: datetime) -> None:
    """Records the new consents of a change: of the lead that the link was made for, also where that was merged."""
    apply_consents(change, change.new_consents)
    evaluate(change)
    await record(tx, link.tenant_id, [change])
    said = tuple(one.id for one in change.new_consents)
    came = [Came(change.lead.id, rows=said, confirms=link)] if change.lead.has_merged else []
    await keep_apart(tx, link.tenant_id, came)
    await carry_to_contacts(tx, link.tenant_id, [change], now)


async def begin_for_visitor(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> Change:
    """Begins a change of the lead by who opens a link; of the lead that it was merged into, where it was."""
    for _ in range(MAX_MERGES):
        try:
            return await begin_change(tx, tenant_id, lead_id, now, actor=VISITOR)
        except LeadMerged as merged:
            lead_id = ids.read("lead", merged.members["merged_into"])
    raise ConfirmationNotFound()
