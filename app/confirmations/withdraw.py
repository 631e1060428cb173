"""Withdraw the consents of a link, at once and however often the link is used.

The link needs no key: who has it was sent it. Mailbox providers post to it for the reader (RFC 8058), and programs that
look at the links of an e-mail only get it, so getting it withdraws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest
from secrets import token_bytes
from typing import Final
from uuid import UUID

from app import ids
from app.confirmations import sql
from app.confirmations.confirm import begin_for_visitor, record_said
from app.database.transaction import Record, Tx
from app.errors import ConfirmationNotFound
from app.journeys.load import begin_change
from app.journeys.state import NewConsent
from app.leads.counting_consents import REFUSALS
from app.leads.double_opt_in import SECRET_BYTES, Token
from app.web.auth import Caller

WITHDRAW_PATH: Final = "/v1/withdraw/"
CHANNEL: Final = "withdrawal_link"


async def make_link(tx: Tx, caller: Caller, lead_id: UUID, purposes: Sequence[str], now: datetime) -> Token:
    """Makes another link for the person of a lead, and returns its parts. Links that were made before stay good.

    Raises LeadNotFound, LeadMerged, Erased.
    """
    await begin_change(tx, caller.tenant_id, lead_id, now, actor=caller.actor)
    token = Token(caller.tenant_id, ids.new_id(), token_bytes(SECRET_BYTES))
    values = {"id": token.request_id, "lead_id": lead_id, "secret_sha256": token.sha256}
    await sql.insert_link(
        tx, caller.tenant_id, {**values, "purposes": list(dict.fromkeys(purposes)), "created_at": now}
    )
    return token


async def withdraw(tx: Tx, text: str, address: str | None, now: datetime) -> Record:
    """Withdraws the consents of a link, and returns the link; those that are refused or withdrawn stay as they are.

    Raises ConfirmationNotFound for a link that was never made, and Erased where the lead was erased.
    """
    link = await _link(tx, text)
    change = await begin_for_visitor(tx, link.tenant_id, link.lead_id, now)
    change.new_consents += [
        NewConsent(purpose, "withdrawn", now, None, CHANNEL, client_address=address, withdrawal_link_id=link.id)
        for purpose in link.purposes
        if change.lead.consents.get(purpose) not in REFUSALS
    ]
    if change.new_consents:
        await record_said(tx, change, link, now)
    return link


async def look_at_withdrawal(tx: Tx, text: str, address: str | None, now: datetime) -> Record:
    """The link, or what `withdraw` would raise; writes nothing."""
    link = await _link(tx, text)
    await begin_for_visitor(tx, link.tenant_id, link.lead_id, now)
    return link


async def _link(tx: Tx, text: str) -> Record:
    token = Token.read(text)
    link = await sql.link(tx, token.tenant_id, token.request_id) if token else None
    if token is None or link is None or not compare_digest(token.sha256, link.secret_sha256):
        raise ConfirmationNotFound()
    return link
