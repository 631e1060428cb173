"""Idempotency-Key: the response is stored in the same transaction as the request's changes (promises.md, section 2).

Only 2xx responses are stored, for seven days. A refused or rolled back request does not use up its key. When a process
dies, PostgreSQL rolls back its transaction and releases the lock. (Unlike Stripe's API, a 5xx is not stored.)
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from fastapi import Request, Response
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Tx
from app.errors import IdempotencyInProgress, IdempotencyKeyReused, MalformedHeader, SecretKeysMissing
from app.keyring import CannotOpen, KeyRing
from app.web.auth import Caller

log = structlog.get_logger("baton.idempotency")

HEADER: Final = "idempotency-key"
RETENTION: Final = timedelta(days=7)
STORED_HEADERS: Final = ("content-type", "location", "etag")

LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0)) AS mine")
FIND = text(
    "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key"
)
INSERT = text(
    "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body, lead_id, created_at)"
    " VALUES (:tenant_id, :key, :fingerprint, :status, :headers, :body, :lead_id, :now)"
).bindparams(bindparam("headers", type_=JSONB))
SWEEP = text(
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM idempotency_keys WHERE created_at < :before LIMIT 1000 FOR UPDATE SKIP LOCKED)) RETURNING true"
)


def key_of(request: Request) -> str | None:
    """The Idempotency-Key of a POST, or None; raises MalformedHeader unless it is 1 to 255 visible ASCII characters."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= 255 or not all("!" <= letter <= "~" for letter in key):
        raise MalformedHeader("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    return key


async def stored_response(tx: Tx, caller: Caller, request: Request) -> Response | None:
    """The response stored under the request's key, or None; then the key stays locked until the transaction ends."""
    key = key_of(request)
    if key is None:
        return None
    if not (await tx.execute(LOCK, {"name": f"{caller.tenant_id}:{key}"})).scalar_one():
        raise IdempotencyInProgress()
    row = (await tx.execute(FIND, {"tenant_id": caller.tenant_id, "key": key})).one_or_none()
    if row is None:
        return None
    if row.fingerprint != await fingerprint(request):
        raise IdempotencyKeyReused()
    ring: KeyRing = request.app.state.keyring
    try:
        body = ring.open(caller.tenant_id, caller.tenant_id, _field_name(key), row.body)
    except CannotOpen as error:
        log.error("stored_response_not_decrypted", kid=error.kid)
        raise SecretKeysMissing(
            "The response to this request is stored, but cannot be decrypted at present."
        ) from error
    return Response(body.encode(), row.status, {**row.headers, "Idempotency-Replayed": "true"})


async def store_response(tx: Tx, caller: Caller, request: Request, response: Response) -> None:
    """Stores a 2xx response under the request's key, before the commit."""
    key = key_of(request)
    if key is None or not 200 <= response.status_code < 300:
        return
    ring: KeyRing = request.app.state.keyring
    body = bytes(response.body).decode()
    await tx.execute(
        INSERT,
        {
            "tenant_id": caller.tenant_id,
            "key": key,
            "fingerprint": await fingerprint(request),
            "status": response.status_code,
            "headers": {name: response.headers[name] for name in STORED_HEADERS if name in response.headers},
            "body": ring.seal(caller.tenant_id, caller.tenant_id, _field_name(key), body),
            "lead_id": _lead_of(request),
            "now": request.state.now,
        },
    )


async def fingerprint(request: Request) -> str:
    """SHA-256 of method, path, query, Baton-Actor and the raw bytes of the body."""
    actor = request.headers.get("baton-actor", "").strip()
    head = f"{request.method} {request.url.path}?{request.url.query}\n{actor}\n".encode()
    return hashlib.sha256(head + await request.body()).hexdigest()


async def sweep(tx: Tx, now: datetime) -> int:
    """Deletes up to 1000 stored responses older than seven days; returns how many it deleted."""
    return len((await tx.execute(SWEEP, {"before": now - RETENTION})).all())


def _field_name(key: str) -> str:
    return f"idempotency|{key}"


def _lead_of(request: Request) -> UUID | None:
    return getattr(request.state, "lead_id", None)
