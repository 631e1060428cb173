"""Idempotency-Key: the response is stored in the same transaction as the request's changes (promises.md, section 2).

Only 2xx responses are stored, for seven days. A refused or rolled back request does not use up its key. When a process
dies, PostgreSQL rolls back its transaction and releases the lock. (Unlike Stripe's API, a 5xx is not stored.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from fastapi import Request, Response
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

from app.database.transaction import Record, Tx
from app.errors import IdempotencyInProgress, IdempotencyKeyReused, MalformedHeader, SecretKeysMissing
from app.keyring import CannotOpen, KeyRing
from app.problem import Problem

log = structlog.get_logger("baton.idempotency")

HEADER: Final = "idempotency-key"
RETENTION: Final = timedelta(days=7)
STORED_HEADERS: Final = ("content-type", "location", "etag")

LOCK = text(
    "SELECT name, pg_try_advisory_xact_lock(hashtextextended(name, 0)) AS mine FROM unnest(:names) AS name"
).bindparams(bindparam("names", type_=ARRAY(TEXT)))
FIND = text(
    "SELECT key, fingerprint, status, headers, body FROM idempotency_keys"
    " WHERE tenant_id = :tenant_id AND key = ANY(:keys)"
).bindparams(bindparam("keys", type_=ARRAY(TEXT)))
INSERT = text(
    "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body, lead_id, created_at)"
    " SELECT :tenant_id, r.*, :now FROM jsonb_to_recordset(:rows) AS r("
    "key text, fingerprint text, status integer, headers jsonb, body text, lead_id uuid)"
).bindparams(bindparam("rows", type_=JSONB))
SWEEP = text(
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM idempotency_keys WHERE created_at < :before LIMIT 1000 FOR UPDATE SKIP LOCKED)) RETURNING true"
)


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request with an Idempotency-Key."""

    request: Request
    key: str


def keyed(request: Request) -> Keyed | None:
    """The request with its key, None without one. Raises MalformedHeader for a key that is none."""
    key = key_of(request)
    return None if key is None else Keyed(request, key)


def key_of(request: Request) -> str | None:
    """The Idempotency-Key of a POST, or None; raises MalformedHeader unless it is 1 to 255 visible ASCII characters."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= 255 or not all("!" <= letter <= "~" for letter in key):
        raise MalformedHeader("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    return key


async def stored_responses(tx: Tx, tenant_id: UUID, asked: Sequence[Keyed]) -> list[Response | Problem | None]:
    """For each request, which all have different keys: its stored response, None if it has none, or a problem.

    The keys stay locked until the transaction ends. The rows are read after that, with a snapshot of their own.
    """
    if not asked:
        return []
    names = {f"{tenant_id}:{one.key}": one.key for one in asked}
    locked = {names[row.name] for row in await tx.execute(LOCK, {"names": list(names)}) if row.mine}
    found = await tx.execute(FIND, {"tenant_id": tenant_id, "keys": sorted(locked)})
    rows = {row.key: row for row in found}
    return [
        IdempotencyInProgress() if one.key not in locked else await _response(tenant_id, one, rows.get(one.key))
        for one in asked
    ]


async def _response(tenant_id: UUID, asked: Keyed, row: Record | None) -> Response | Problem | None:
    if row is None:
        return None
    if row.fingerprint != await fingerprint(asked.request):
        return IdempotencyKeyReused()
    ring: KeyRing = asked.request.app.state.keyring
    try:
        body = opened_body(ring, tenant_id, asked.key, row.body)
    except CannotOpen as error:
        log.error("stored_response_not_decrypted", kid=error.kid)
        return SecretKeysMissing("The response to this request is stored, but cannot be decrypted at present.")
    return Response(body.encode(), row.status, {**row.headers, "Idempotency-Replayed": "true"})


async def store_responses(
    tx: Tx, tenant_id: UUID, made: Sequence[tuple[Keyed, Response | Problem | None]], now: datetime
) -> None:
    """Stores the 2xx responses under the keys of their requests, before the commit."""
    rows = [
        await _row(tenant_id, asked, response)
        for asked, response in made
        if isinstance(response, Response) and 200 <= response.status_code < 300
    ]
    if rows:
        await tx.execute(INSERT, {"tenant_id": tenant_id, "rows": rows, "now": now})


async def _row(tenant_id: UUID, asked: Keyed, response: Response) -> Mapping[str, Any]:
    ring: KeyRing = asked.request.app.state.keyring
    return {
        "key": asked.key,
        "fingerprint": await fingerprint(asked.request),
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in STORED_HEADERS if name in response.headers},
        "body": ring.seal(tenant_id, tenant_id, _field_name(asked.key), bytes(response.body).decode()),
        "lead_id": _lead_of(asked.request),
    }


async def fingerprint(request: Request) -> str:
    """SHA-256 of method, path, query, Baton-Actor and the raw bytes of the body; of a streamed body, of its hash."""
    actor = request.headers.get("baton-actor", "").strip()
    head = f"{request.method} {request.url.path}?{request.url.query}\n{actor}\n".encode()
    streamed: bytes | None = getattr(request.state, "body_sha256", None)
    return hashlib.sha256(head + (await request.body() if streamed is None else streamed)).hexdigest()


async def sweep(tx: Tx, now: datetime) -> int:
    """Deletes up to 1000 stored responses older than seven days; returns how many it deleted."""
    return len((await tx.execute(SWEEP, {"before": now - RETENTION})).all())


def opened_body(ring: KeyRing, tenant_id: UUID, key: str, stored: str) -> str:
    """The body of a stored response. Raises CannotOpen."""
    return ring.open(tenant_id, tenant_id, _field_name(key), stored)


def _field_name(key: str) -> str:
    return f"idempotency|{key}"


def _lead_of(request: Request) -> UUID | None:
    return getattr(request.state, "lead_id", None)
