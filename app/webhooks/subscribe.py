"""Make, change, rotate, pause, resume and end subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from app.database.transaction import Tx
from app.errors import RequestInvalid, StateConflict, SubscriptionNotFound, TargetRefused
from app.events import cursors
from app.ids import new_id
from app.keyring import KeyRing
from app.web.versions import check
from app.webhooks import egress, secrets, sql
from app.webhooks.egress import Egress
from app.webhooks.schemas import SubscriptionCreate, SubscriptionPatch
from app.webhooks.secrets import StoredSecret
from app.webhooks.signing import new_secret

HEADERS = "headers"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every change of a subscription needs: the transaction, whose it is, keys, the way out, the time."""

    tx: Tx
    tenant_id: UUID
    ring: KeyRing
    egress: Egress
    now: datetime

    async def locked(self, subscription_id: UUID, expected: frozenset[str] | None) -> Row[Any]:
        """The row, locked; SubscriptionNotFound, VersionConflict."""
        row = await sql.lock_subscription(self.tx, self.tenant_id, subscription_id)
        if row is None:
            raise SubscriptionNotFound()
        check(expected, row.version)
        return row

    async def update(self, subscription_id: UUID, values: dict[str, Any]) -> None:
        await sql.update_subscription(self.tx, self.tenant_id, subscription_id, values, self.now)


async def create(desk: Desk, body: SubscriptionCreate) -> tuple[UUID, str]:
    """A subscription that is active at once: its id and its secret. TargetRefused, CursorInvalid."""
    subscription_id, secret = new_id(), new_secret()
    position = await _start(desk, body.start)
    stored = secrets.first(desk.ring, desk.tenant_id, subscription_id, secret)
    values = {
        "id": subscription_id,
        "url": await checked_url(desk.egress, body.url),
        "types": body.types,
        "filter": body.filter,
        "mode": body.mode,
        "limits": body.limits.model_dump(),
        "state": "active",
        "headers": _sealed(desk, subscription_id, body.headers),
        "secrets": written(stored),
        "created_at": desk.now,
        "updated_at": desk.now,
    }
    await sql.insert_subscription(desk.tx, desk.tenant_id, values, position)
    return subscription_id, secret


async def patch(desk: Desk, subscription_id: UUID, body: SubscriptionPatch, expected: frozenset[str] | None) -> None:
    """Change what the body names. SubscriptionNotFound, VersionConflict, TargetRefused."""
    values = {name: value for name, value in body.model_dump(mode="json").items() if value is not None}
    if body.url is not None:
        values["url"] = await checked_url(desk.egress, body.url)  # asks DNS, so before the lock
    await desk.locked(subscription_id, expected)
    if body.headers is not None:
        values["headers"] = _sealed(desk, subscription_id, body.headers)
    if values:
        await desk.update(subscription_id, values)


async def rotate(desk: Desk, subscription_id: UUID, grace: timedelta, expected: frozenset[str] | None) -> str:
    """A new secret; the ones before stay valid for `grace`. SubscriptionNotFound, VersionConflict."""
    row = await desk.locked(subscription_id, expected)
    secret = new_secret()
    [fresh] = secrets.first(desk.ring, desk.tenant_id, subscription_id, secret)
    stored = secrets.rotated(read_secrets(row.secrets), fresh, desk.now, grace)
    await desk.update(subscription_id, {"secrets": written(stored)})
    return secret


async def pause(desk: Desk, subscription_id: UUID, expected: frozenset[str] | None) -> None:
    """Stop sending and keep the place. SubscriptionNotFound, StateConflict on a disabled one, VersionConflict."""
    row = await desk.locked(subscription_id, expected)
    if row.state == "disabled":
        raise StateConflict("A disabled subscription does not send anyway; resume it first.", state=row.state)
    if row.state == "active":
        await desk.update(subscription_id, {"state": "paused", "state_reason": "requested"})


async def resume(desk: Desk, subscription_id: UUID, expected: frozenset[str] | None) -> None:
    """Go on from the place that was kept. SubscriptionNotFound, VersionConflict."""
    row = await desk.locked(subscription_id, expected)
    if row.state != "active":
        await desk.update(subscription_id, {"state": "active", "state_reason": None})


async def end(desk: Desk, subscription_id: UUID, expected: frozenset[str] | None) -> None:
    """Remove it with everything that is still owed. SubscriptionNotFound, VersionConflict."""
    await sql.delete_lanes(desk.tx, desk.tenant_id, subscription_id)
    await desk.locked(subscription_id, expected)
    await sql.delete_subscription(desk.tx, desk.tenant_id, subscription_id)


async def checked_url(way: Egress, url: str) -> str:
    """The URL as it is stored; TargetRefused, RequestInvalid."""
    try:
        return await way.check_url(url)
    except egress.TargetRefused as refused:
        if refused.code == "url_invalid":
            raise RequestInvalid.of("url", refused.code, refused.detail) from None
        errors = [{"field": "url", "code": refused.code, "detail": refused.detail}]
        raise TargetRefused(refused.detail, errors=errors) from None


def read_secrets(text: str) -> list[StoredSecret]:
    """The stored secrets of a subscription, newest first."""
    return [
        StoredSecret(each["sealed"], datetime.fromisoformat(each["expires_at"]) if each["expires_at"] else None)
        for each in orjson.loads(text)
    ]


def written(stored: list[StoredSecret]) -> str:
    return orjson.dumps([{"sealed": each.sealed, "expires_at": each.expires_at} for each in stored]).decode()


def read_headers(ring: KeyRing, tenant_id: UUID, subscription_id: UUID, sealed: str | None) -> dict[str, str]:
    """The subscription's own headers; CannotOpen when the ring lacks the key."""
    if sealed is None:
        return {}
    headers: dict[str, str] = orjson.loads(ring.open(tenant_id, subscription_id, HEADERS, sealed))
    return headers


def _sealed(desk: Desk, subscription_id: UUID, headers: dict[str, str]) -> str | None:
    if not headers:
        return None
    return desk.ring.seal(desk.tenant_id, subscription_id, HEADERS, orjson.dumps(headers).decode())


async def _start(desk: Desk, start: str) -> int:
    place = "latest" if start == "now" else start
    return await cursors.position_of(desk.tx, desk.tenant_id, place, filters=None)
