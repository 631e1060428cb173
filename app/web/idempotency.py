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
from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

from app.database.parts import Part
from app.database.transaction import Record, Tx
from app.errors import IdempotencyInProgress, IdempotencyKeyReused, MalformedHeader, SecretKeysMissing
from app.keyring import CannotOpen, KeyRing
from app.problem import Problem

log = structlog.get_logger("baton.idempotency")

HEADER: Final = "idempotency-key"
RETENTION: Final = timedelta(days=7)
STORED_HEADERS: Final = ("content-type", "location", "etag")

CLAIM = text("SELECT * FROM claim_idempotency_keys(:tenant_id, :keys)").bindparams(
    bindparam("tenant_id", type_=Uuid), bindparam("keys", type_=ARRAY(TEXT))
)
INSERT_SQL: Final = """
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body, lead_id, created_at)
    SELECT :tenant_id, r.*
      FROM jsonb_to_recordset(:stored_responses) AS r(key text, fingerprint text, status integer, headers jsonb,
           body text, lead_id uuid, created_at timestamptz)
"""
STORED: Final = Part("stored_responses", f"stored AS ({INSERT_SQL})")
INSERT = text(INSERT_SQL).bindparams(bindparam("stored_responses", type_=JSONB))
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

    The keys stay locked until the transaction ends.
    """
    if not asked:
        return []
    claimed = await tx.execute(CLAIM, {"tenant_id": tenant_id, "keys": [one.key for one in asked]})
    rows = {row.key: row for row in claimed}
    return [await _response(tenant_id, one, rows[one.key]) for one in asked]


async def _response(tenant_id: UUID, asked: Keyed, row: Record) -> Response | Problem | None:
    if not row.mine:
        return IdempotencyInProgress()
    if row.fingerprint is None:
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


async def rows_of(
    tenant_id: UUID, made: Sequence[tuple[Keyed, Response | Problem | None]], now: datetime
) -> list[Mapping[str, Any]]:
    """The rows by which the 2xx responses are stored under the keys of their requests, before the commit."""
    return [
        await _row(tenant_id, asked, response, now)
        for asked, response in made
        if isinstance(response, Response) and 200 <= response.status_code < 300
    ]


async def store_response(tx: Tx, tenant_id: UUID, asked: Keyed, response: Response, now: datetime) -> None:
    """Stores the response under the key of its request, if it is a 2xx."""
    await store(tx, tenant_id, await rows_of(tenant_id, [(asked, response)], now))


async def store(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stores responses by a statement of its own, where no other one writes them (`STORED`)."""
    if rows:
        await tx.execute(INSERT, {"tenant_id": tenant_id, "stored_responses": rows})


async def _row(tenant_id: UUID, asked: Keyed, response: Response, now: datetime) -> Mapping[str, Any]:
    ring: KeyRing = asked.request.app.state.keyring
    return {
        "key": asked.key,
        "fingerprint": await fingerprint(asked.request),
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in STORED_HEADERS if name in response.headers},
        "body": ring.seal(tenant_id, tenant_id, _field_name(asked.key), bytes(response.body).decode()),
        "lead_id": _lead_of(asked.request),
        "created_at": now,
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
