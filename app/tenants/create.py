"""Creates tenants (with a shipped policy and the built-in source) and API keys."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.policies.publish import publish
from app.policy.shipped import Shipped, shipped
from app.tenants import across, sql
from app.web.auth import SCOPES, fingerprint, new_secret

FIRST_SCOPES = ("admin", "platform")
API_SOURCE = "api"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key and its secret, of which only a hash is stored."""

    row: Record
    secret: str


async def create_tenant(tx: Tx, name: str, policy: Shipped, now: datetime) -> UUID:
    """A tenant under a shipped policy, with the built-in source of `POST /v1/leads`."""
    tenant_id = ids.new_id()
    values = {"name": name, "secret_salt": secrets.token_hex(32), "created_at": now}
    values |= {"retention": {}, "retention_due_at": now + timedelta(days=1)}
    await sql.insert_tenant(tx, tenant_id, values)
    await publish(tx, tenant_id, shipped(policy), now)
    source = {"id": ids.new_id(), "key": secrets.token_urlsafe(24), "name": API_SOURCE, "preset": "generic"}
    await sql.insert_source(tx, tenant_id, {**source, "builtin": True, "created_at": now, "updated_at": now})
    return tenant_id


async def create_key(
    tx: Tx,
    tenant_id: UUID,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    *,
    secret: str | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """A new API key. The secret is returned here only; the database has its SHA-256.

    Raises RequestInvalid for a key that would have expired already.
    """
    if expires_at is not None and expires_at <= now:
        raise RequestInvalid.of("expires_at", "in_the_past", "must not be in the past; leave it out for no end")
    secret = secret or new_secret()
    values = {
        "id": ids.new_id(),
        "name": name,
        "secret_sha256": fingerprint(secret),
        "prefix": secret[:8],
        "scopes": [scope for scope in SCOPES if scope in scopes],
        "created_at": now,
        "expires_at": expires_at,
    }
    return NewKey(await sql.insert_key(tx, tenant_id, values), secret)


async def first_run(tx: Tx, admin_key: str | None, now: datetime) -> NewKey | None:
    """Creates the first tenant on a fresh database, and a key for ADMIN_KEY; returns the key if one was created.

    A changed ADMIN_KEY becomes another key of the first tenant; the old one is valid until it is revoked.
    """
    await across.lock_first_run(tx)
    tenant_id = await across.oldest_tenant(tx)
    if tenant_id is None:
        tenant_id = await create_tenant(tx, "first", "waterfall", now)
        return await create_key(tx, tenant_id, "first admin key", FIRST_SCOPES, now, secret=admin_key)
    if admin_key is None or await across.key_with_secret(tx, fingerprint(admin_key)) is not None:
        return None
    return await create_key(tx, tenant_id, "admin key of the settings", FIRST_SCOPES, now, secret=admin_key)
