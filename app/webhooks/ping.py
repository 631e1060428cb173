"""Test a receiver: one signed request or message, sent at once, not in the log and not retried."""

from __future__ import annotations

from datetime import datetime

from app import ids
from app.ids import new_id
from app.webhooks import content
from app.webhooks.egress import Egress
from app.webhooks.message import Message
from app.webhooks.receiver import Receiver, signed_headers
from app.webhooks.retry import Outcome


async def ping(egress: Egress, receiver: Receiver, now: datetime) -> Outcome:
    """Send `subscription.ping` with empty data and no position, in the subscription's format; the outcome."""
    message_id = ids.show("event", new_id())
    sent = content.ping(receiver.format, message_id, receiver.tenant_id, now)
    signed = signed_headers(message_id, sent, receiver.valid_keys(now), now)
    headers = {**receiver.headers, **signed, "webhook-subscription": receiver.subscription}
    return await egress.send(
        Message(
            url=receiver.url,
            credentials=receiver.credentials,
            timeout_seconds=receiver.limits.timeout_seconds,
            id=message_id,
            type="subscription.ping",
            tenant=receiver.tenant,
            lead=None,
            key=message_id,
            headers=headers,
            body=sent.body,
        )
    )
