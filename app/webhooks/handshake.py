"""The handshake of CloudEvents' "HTTP 1.1 Web Hooks": a receiver is asked by OPTIONS whether events may be sent to it.

A subscription with `handshake` is paused until its receiver has agreed, and again when its URL changes or the receiver
says no. The receiver may limit the rate, which pace.py keeps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from app.database.transaction import Tx
from app.errors import StateConflict, SubscriptionNotFound
from app.webhooks import sql
from app.webhooks.egress import USER_AGENT, Egress
from app.webhooks.retry import Outcome

DUE: Final = "handshake_due"  # the reason of the state `paused`
RATE: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Consent:
    """What a receiver answered: whether it allows requests, how many a minute (None: any number), and why not."""

    allowed: bool
    per_minute: int | None = None
    error: str | None = None


def consent_of(headers: Mapping[str, str], origin: str) -> Consent:
    """The consent in the headers, by lower-case name, of a 2xx answer."""
    allowed, rate = (headers.get(f"webhook-allowed-{name}", "").strip() for name in ("origin", "rate"))
    if allowed != "*" and allowed.lower() != origin:
        return Consent(False, error="origin_not_allowed")
    if rate in ("", "*"):
        return Consent(True)
    return Consent(True, int(rate)) if RATE.fullmatch(rate) else Consent(False, error="rate_invalid")


def state_after(state: str, reason: str | None, due: bool) -> dict[str, Any]:
    """The columns of the state that change when a handshake has become due, or is due no more."""
    if due and state == "active":
        return {"state": "paused", "state_reason": DUE}
    if not due and (state, reason) == ("paused", DUE):
        return {"state": "active", "state_reason": None}
    return {}


async def ask(egress: Egress, url: str, address: str) -> tuple[Outcome, Consent]:
    """Ask the receiver for its consent; `address` is that of the service, whose host is the origin."""
    origin = (urlsplit(address).hostname or "").lower()
    headers = {"webhook-request-origin": origin, "user-agent": USER_AGENT, "accept-encoding": "identity"}
    fetched = await egress.options(url, headers)
    if not fetched.outcome.delivered:
        return fetched.outcome, Consent(False, error=fetched.outcome.error)
    return fetched.outcome, consent_of(fetched.headers, origin)


async def keep(tx: Tx, tenant_id: UUID, subscription_id: UUID, url: str, consent: Consent, now: datetime) -> None:
    """Store what the receiver at `url` answered, and start or pause the subscription.

    Raises SubscriptionNotFound, and StateConflict when it has another URL now.
    """
    row = await sql.lock_subscription(tx, tenant_id, subscription_id)
    if row is None:
        raise SubscriptionNotFound()
    if row.url != url or not row.handshake:
        raise StateConflict("The subscription was changed meanwhile: ask again.", state=row.state)
    values = {"consented_at": now if consent.allowed else None, "allowed_rate": consent.per_minute}
    values |= state_after(row.state, row.state_reason, due=not consent.allowed)
    await sql.update_subscription(tx, tenant_id, subscription_id, values, now)
