"""A subscription with its secrets decrypted: which events it accepts, and the requests to send."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from app import ids
from app.keyring import KeyRing
from app.webhooks import credentials
from app.webhooks.accepted import Selection
from app.webhooks.content import Content, Format, content, digest
from app.webhooks.credentials import Credentials
from app.webhooks.egress import USER_AGENT
from app.webhooks.lane import Item
from app.webhooks.message import Message
from app.webhooks.schemas import Limits
from app.webhooks.secrets import COLUMNS, keys_of, opened
from app.webhooks.shares import Share
from app.webhooks.signing import Key, signatures
from app.webhooks.subscribe import read_headers


@dataclass(frozen=True, slots=True)
class Receiver(Selection):
    """A stored subscription, decrypted once. `keys` are signing keys with the time at which each expires."""

    tenant_id: UUID
    tenant: str
    url: str
    format: Format
    headers: dict[str, str]
    credentials: Credentials | None
    keys: tuple[tuple[Key, datetime | None], ...]
    limits: Limits
    per_minute: float | None
    on_dead: str
    state: str
    version: int

    @classmethod
    def stored(cls, row: Row[Any], tenant_id: UUID, subscription_id: UUID, ring: KeyRing) -> Receiver:
        """From the stored row. Raises CannotOpen when the key ring lacks the key it was encrypted with."""
        place = ring, tenant_id, subscription_id
        return cls.of(
            {**row._mapping},
            ids.show("subscription", subscription_id),
            tenant_id=tenant_id,
            tenant=ids.show("tenant", tenant_id),
            url=row.url,
            format=row.format,
            headers=read_headers(*place, row.headers),
            credentials=credentials.opened(*place, row.credentials),
            keys=tuple(key for kind in COLUMNS for key in opened(*place, kind, keys_of(row, kind), row.now)),
            limits=Limits.model_validate({**(row.limits or {}), "disable_after_days": row.disable_after_days}),
            per_minute=row.allowed_rate,
            on_dead=row.on_dead,
            state=row.state,
            version=row.version,
        )

    def of_lane(self, share: Share) -> Receiver:
        """As one lane sends to it: with its part of the requests in flight, and of the rate."""
        limits = self.limits.model_copy(update={"concurrency": share.part_of(self.limits.concurrency)})
        per_minute = None if self.per_minute is None else self.per_minute / share.lanes
        return replace(self, limits=limits, per_minute=per_minute)

    def message(self, item: Item, now: datetime, replay: str | None = None) -> Message:
        """One attempt, of a replay with its id."""
        headers, body = self.request(item, now, replay)
        event, lead = item.event, ids.shown("lead", item.event.lead_id)
        message_id = headers["webhook-id"]
        return Message(
            url=self.url,
            credentials=self.credentials,
            timeout_seconds=self.limits.timeout_seconds,
            id=f"{message_id}.{replay}" if replay else message_id,
            type=event.type,
            tenant=self.tenant,
            lead=lead,
            key=lead or str(event.order_key),
            headers=headers,
            body=body,
        )

    def request(self, item: Item, now: datetime, replay: str | None = None) -> tuple[dict[str, str], bytes]:
        """The headers and body of one attempt, signed with every key valid at `now`; with the id of its replay."""
        event = item.event
        message_id = ids.show("event", event.id)
        sent = content(self.format, self.shown(event), message_id, self.tenant_id, self.max_bytes)
        return {
            **self.headers,
            **signed_headers(message_id, sent, self.valid_keys(now), now),
            "webhook-attempt": str(item.attempts + 1),
            "webhook-subscription": self.subscription,
            **({"webhook-replay": replay} if replay else {}),
            "traceparent": f"00-{event.tx_id.hex}-{event.id.hex[16:]}-01",
        }, sent.body

    def valid_keys(self, now: datetime) -> list[Key]:
        return [key for key, expires_at in self.keys if expires_at is None or expires_at > now]


def signed_headers(message_id: str, sent: Content, keys: list[Key], now: datetime) -> dict[str, str]:
    """The headers of every request."""
    timestamp = int(now.timestamp())
    return {
        **sent.headers,
        "content-digest": digest(sent.body),
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(keys, message_id, timestamp, sent.body),
    }
