"""Try a receiver: one signed request, sent at once, neither in the log nor repeated."""

from __future__ import annotations

from datetime import datetime

from app import ids
from app.events.envelope import timestamp
from app.ids import new_id
from app.webhooks.egress import Egress
from app.webhooks.receiver import Receiver, signed
from app.webhooks.retry import Outcome


async def ping(way: Egress, receiver: Receiver, now: datetime) -> Outcome:
    """Send `subscription.ping` with empty data and no position; how it ended."""
    message_id = ids.show("event", new_id())
    body = (
        f'{{"id":"{message_id}","type":"subscription.ping","timestamp":"{timestamp(now)}","data":{{}},'
        '"meta":{"position":null,"lead_version":null,"transaction":null,"schema_version":1}}'
    ).encode()
    keys = [key for key, expires_at in receiver.keys if expires_at is None or expires_at > now]
    headers = {**receiver.headers, **signed(message_id, body, keys, now), "webhook-subscription": receiver.subscription}
    return await way.post(receiver.url, headers, body, receiver.limits.timeout_seconds)
