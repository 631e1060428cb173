"""Idempotency-Key: the answer is stored in the transaction of its effect (promises.md, section 2).

Only 2xx answers are kept, for seven days. A request that was refused or rolled back leaves its key free, and a process
that died leaves nothing behind: PostgreSQL ends its transaction and with it the lock. (Stripe's first keeps 5xx.)
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Tx
from app.errors import IdempotencyInProgress, IdempotencyKeyReused, MalformedHeader
from app.keyring import CannotOpen, KeyRing
from app.web.auth import Caller

HEADER: Final = "idempotency-key"
KEPT: Final = timedelta(days=7)
KEPT_HEADERS: Final = ("content-type", "location", "etag")

LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0)) AS mine")
FIND = text(
    "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key"
)
KEEP = text(
    "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body, lead_id, created_at)"
    " VALUES (:tenant_id, :key, :fingerprint, :status, :headers, :body, :lead_id, :now)"
).bindparams(bindparam("headers", type_=JSONB))
SWEEP = text(
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM idempotency_keys WHERE created_at < :before LIMIT 1000 FOR UPDATE SKIP LOCKED)) RETURNING true"
)


def key_of(request: Request) -> str | None:
    """The key of a request, or None; MalformedHeader unless it is 1 to 255 visible ASCII characters."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= 255 or not all("!" <= letter <= "~" for letter in key):
        raise MalformedHeader("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    return key


async def stored_answer(tx: Tx, caller: Caller, request: Request) -> Response | None:
    """The answer stored under the request's key, or None with the key locked until the transaction ends."""
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
        body = ring.open(caller.tenant_id, caller.tenant_id, _sealed_as(key), row.body)
    except CannotOpen as error:
        raise IdempotencyKeyReused("The answer was stored under an encryption key that is gone.") from error
    return Response(body.encode(), row.status, {**row.headers, "Idempotency-Replayed": "true"})


async def keep(tx: Tx, caller: Caller, request: Request, response: Response) -> None:
    """Stores a 2xx answer under the request's key, before the commit."""
    key = key_of(request)
    if key is None or not 200 <= response.status_code < 300:
        return
    ring: KeyRing = request.app.state.keyring
    body = bytes(response.body).decode()
    await tx.execute(
        KEEP,
        {
            "tenant_id": caller.tenant_id,
            "key": key,
            "fingerprint": await fingerprint(request),
            "status": response.status_code,
            "headers": {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
            "body": ring.seal(caller.tenant_id, caller.tenant_id, _sealed_as(key), body),
            "lead_id": _lead_of(request),
            "now": request.state.now,
        },
    )


async def fingerprint(request: Request) -> str:
    """SHA-256 of method, path, query, the person spoken for, and the raw bytes of the body."""
    actor = request.headers.get("baton-actor", "").strip()
    head = f"{request.method} {request.url.path}?{request.url.query}\n{actor}\n".encode()
    return hashlib.sha256(head + await request.body()).hexdigest()


async def sweep(tx: Tx, now: datetime) -> int:
    """Deletes up to a thousand answers older than seven days; how many there were."""
    return len((await tx.execute(SWEEP, {"before": now - KEPT})).all())


def _sealed_as(key: str) -> str:
    return f"idempotency|{key}"


def _lead_of(request: Request) -> UUID | None:
    return getattr(request.state, "lead_id", None)
