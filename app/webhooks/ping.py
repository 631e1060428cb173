"""Test a receiver: one signed_headers request, sent at once, not in the log and not retried."""

from __future__ import annotations

from datetime import datetime

from app import ids
from app.events.envelope import timestamp
from app.ids import new_id
from app.webhooks.egress import Egress
from app.webhooks.receiver import Receiver, signed_headers
from app.webhooks.retry import Outcome


async def ping(egress: Egress, receiver: Receiver, now: datetime) -> Outcome:
    """Send `subscription.ping` with empty data and no position; the outcome."""
    message_id = ids.show("event", new_id())
    body = (
        f'{{"id":"{message_id}","type":"subscription.ping","timestamp":"{timestamp(now)}","data":{{}},'
        '"meta":{"position":null,"lead_version":null,"transaction":null,"schema_version":1}}'
    ).encode()
    keys = [key for key, expires_at in receiver.keys if expires_at is None or expires_at > now]
    signed = signed_headers(message_id, body, keys, now)
    headers = {**receiver.headers, **signed, "webhook-subscription": receiver.subscription}
    return await egress.post(receiver.url, headers, body, receiver.limits.timeout_seconds)
