"""Sessions of the console, and the links that log in once.

Each is bound to an API key and is of no use any more when that is revoked. A token is `<tenant>.<secret>`, so that it
is looked up within its tenant; only its SHA-256 is stored.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.errors import KeyUnknown, LoginLinkInvalid, SessionEnded
from app.tenants import across, audit, sql
from app.web.auth import Caller, caller_of_key, caller_with_secret, fingerprint

SESSION_LASTS: Final = timedelta(hours=12)
LINK_LASTS: Final = timedelta(hours=1)


async def make_link_token(tx: Tx, now: datetime) -> str | None:
    """The token of a new login link for the first tenant's oldest admin key; None if it has no valid one."""
    key = await across.oldest_admin_key(tx, now)
    return None if key is None else await _keep(tx, key.tenant_id, key.id, "link", now, LINK_LASTS)


async def open_with_key(tx: Tx, secret: str, now: datetime) -> str:
    """The token of a new session of this API key. Raises KeyUnknown."""
    return await _open(tx, await caller_with_secret(tx, secret, now), now)


async def open_with_link(tx: Tx, token: str, now: datetime) -> str:
    """The token of a new session; the link is used up. Raises LoginLinkInvalid."""
    tenant_id = _tenant_of(token)
    link = await sql.take_session(tx, tenant_id, fingerprint(token), "link") if tenant_id else None
    if link is None or link.expires_at <= now:
        raise LoginLinkInvalid()
    try:
        return await _open(tx, await caller_of_key(tx, link.tenant_id, link.key_id, now), now)
    except KeyUnknown:
        raise LoginLinkInvalid("The key of this login link is revoked or has expired.") from None


async def caller_of_session(tx: Tx, token: str, now: datetime) -> Caller:
    """The caller that is logged in. Raises SessionEnded."""
    tenant_id = _tenant_of(token)
    session = await sql.session(tx, tenant_id, fingerprint(token)) if tenant_id else None
    if session is None or session.expires_at <= now:
        raise SessionEnded()
    try:
        return await caller_of_key(tx, session.tenant_id, session.key_id, now)
    except KeyUnknown:
        raise SessionEnded() from None


async def close(tx: Tx, token: str) -> None:
    """Ends a session; one that has ended already stays so."""
    if tenant_id := _tenant_of(token):
        await sql.take_session(tx, tenant_id, fingerprint(token), "session")


async def _open(tx: Tx, caller: Caller, now: datetime) -> str:
    key = ids.show("key", caller.key_id)
    await audit.record(tx, caller, caller.tenant_id, "console.logged_in", key, now)
    return await _keep(tx, caller.tenant_id, caller.key_id, "session", now, SESSION_LASTS)


async def _keep(
    tx: Tx, tenant_id: UUID, key_id: UUID, kind: Literal["link", "session"], now: datetime, lasts: timedelta
) -> str:
    token = f"{ids.show('tenant', tenant_id)}.{secrets.token_urlsafe(32)}"
    values = {"token_sha256": fingerprint(token), "kind": kind, "key_id": key_id}
    await sql.insert_session(tx, tenant_id, {**values, "created_at": now, "expires_at": now + lasts})
    return token


def _tenant_of(token: str) -> UUID | None:
    try:
        return ids.read("tenant", token.partition(".")[0])
    except ValueError:
        return None
