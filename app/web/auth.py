"""Authentication: API keys with scopes, and the user a key acts for (api.md, section 2).

A key is looked up by its SHA-256; the key itself is never stored. Its row is cached for at most five seconds, so every
process refuses a revoked key within that time.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import ARRAY, DateTime, Uuid, bindparam, text

from app import ids
from app.database.transaction import Record, Tx
from app.errors import ActorUnknown, KeyUnknown, ScopeMissing
from app.policy.facts import Actor
from app.web import quotas

SCOPES: Final = (
    "leads:read",
    "leads:write",
    "leads:convert",
    "actors:assert",
    "policy:read",
    "policy:write",
    "subscriptions",
    "events:read",
    "reports:read",
    "privacy",
    "admin",
    "platform",
)
NOT_IN_ADMIN: Final = {"platform"}
LOGGED_IN: Final = "baton.caller"  # of an ASGI scope: the caller, where a page of the console makes the request
CACHE_SECONDS: Final = 5.0
CACHE_SIZE: Final = 10_000
BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

KEY: Final = (
    "SELECT k.tenant_id, k.id, k.name, k.scopes, k.expires_at,"
    " t.submissions_per_minute, t.requests_per_minute, t.in_flight"
    " FROM keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.revoked_at IS NULL AND "
)
FIND_KEY = text(KEY + "k.secret_sha256 = :sha256")
FIND_KEY_BY_ID = text(KEY + "k.tenant_id = :tenant_id AND k.id = :id")
# SKIP LOCKED: a request does not wait for another one that updates the same key and has not committed yet.
VALID_KEYS = text(
    "SELECT k.tenant_id, k.id FROM unnest(:tenant_id, :key_id) AS n (tenant_id, id)"
    " JOIN keys k ON k.tenant_id = n.tenant_id AND k.id = n.id"
    " WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now)"
).bindparams(
    *(bindparam(name, type_=ARRAY(Uuid)) for name in ("tenant_id", "key_id")),
    bindparam("now", type_=DateTime(timezone=True)),
)
RECORD_USE = text(
    "UPDATE keys SET last_used_at = :now WHERE tenant_id = :tenant_id AND id IN ("
    "SELECT id FROM keys WHERE tenant_id = :tenant_id AND id = :id"
    " AND (last_used_at IS NULL OR last_used_at < CAST(:now AS timestamptz) - interval '1 minute')"
    " FOR NO KEY UPDATE SKIP LOCKED)"
)
FIND_USER = text("SELECT id, role, team FROM users WHERE tenant_id = :tenant_id AND active AND id = :id")
FIND_USER_BY_EXTERNAL_ID = text(
    "SELECT id, role, team FROM users WHERE tenant_id = :tenant_id AND active AND external_id = :external_id"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request: its tenant, key and scopes, and the actor it acts as."""

    tenant_id: UUID
    key_id: UUID
    key_name: str
    scopes: frozenset[str]
    actor: Actor

    def may(self, scope: str) -> bool:
        return scope in self.scopes or ("admin" in self.scopes and scope not in NOT_IN_ADMIN)

    def require(self, scopes: frozenset[str]) -> None:
        """Raises ScopeMissing unless the key has all of them."""
        for scope in sorted(scopes):
            if scope and not self.may(scope):
                raise ScopeMissing(f"The API key lacks the scope {scope}, which this request needs.", scope=scope)

    @property
    def on_behalf_of(self) -> dict[str, Any] | None:
        """The key that acts for a user; None where the key acts for itself."""
        return {"kind": "service", "id": ids.show("key", self.key_id)} if self.actor.kind == "human" else None


@dataclass(frozen=True, slots=True)
class Allow:
    """Dependency: the caller. `Transacted` checks the scope ('' = any key) before the endpoint is called."""

    scope: str

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.state.caller
        return caller


def allowed(scope: str) -> Any:
    """Annotates an endpoint's caller with the scope it needs: `caller: Annotated[Caller, allowed("leads:read")]`."""
    return Depends(Allow(scope))


AnyCaller = Annotated[Caller, allowed("")]


@dataclass(slots=True)
class Cache:
    """The callers looked up lately, by fingerprint and asserted actor, each with the time until which it is used."""

    callers: dict[tuple[str, str], tuple[float, Caller]] = field(default_factory=dict)


_cache = Cache()


def new_secret() -> str:
    """A new random API key: `btn_` and 43 base62 characters (256 bits)."""
    return "btn_" + "".join(secrets.choice(BASE62) for _ in range(43))


def fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def clear_cache() -> None:
    """Empties this process's cache of keys and actors, also of what look-ups that are under way will find.

    After a change of a key or user it is called once that is committed: before, a request would find the old row.
    """
    _cache.callers = {}


async def authenticate(tx: Tx, request: Request) -> Caller:
    """The caller of a request; raises KeyUnknown (401), ScopeMissing or ActorUnknown (403)."""
    if (known := cached(request)) is not None:
        return known
    presented, cache = _presented(request), _cache.callers
    caller = await _look_up(tx, *presented, now=request.app.state.clock.now())
    if len(cache) >= CACHE_SIZE:
        cache.clear()
    cache[presented] = (time.monotonic() + CACHE_SECONDS, caller)
    return caller


def cached(request: Request) -> Caller | None:
    """The caller of a request if it was looked up lately. Raises KeyUnknown (401) if the request has no key.

    A request of a page of the console has its caller with it (app/console/api.py); none that came over HTTP has.
    """
    logged_in: Caller | None = request.scope.get(LOGGED_IN)
    if logged_in is not None:
        return logged_in
    return _still_valid(_cache.callers.get(_presented(request)))


def _presented(request: Request) -> tuple[str, str]:
    """The fingerprint of the key of a request, and the user it acts for as it is asserted."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise KeyUnknown("The API key is missing: send it as Authorization: Bearer btn_…")
    asserted = request.headers.get("baton-actor", "").strip().encode("latin-1").decode("utf-8", "replace")
    return fingerprint(secret.strip()), asserted


def _still_valid(found: tuple[float, Caller] | None) -> Caller | None:
    return found[1] if found is not None and found[0] > time.monotonic() else None


async def caller_with_secret(tx: Tx, secret: str, now: datetime) -> Caller:
    """The caller that has this API key. Raises KeyUnknown."""
    return await _caller(tx, (await tx.execute(FIND_KEY, {"sha256": fingerprint(secret)})).one_or_none(), now)


async def caller_of_key(tx: Tx, tenant_id: UUID, key_id: UUID, now: datetime) -> Caller:
    """The caller that the key with this id is, as long as it is valid. Raises KeyUnknown."""
    row = (await tx.execute(FIND_KEY_BY_ID, {"tenant_id": tenant_id, "id": key_id})).one_or_none()
    return await _caller(tx, row, now)


async def valid_keys(tx: Tx, keys: Collection[tuple[UUID, UUID]], now: datetime) -> set[tuple[UUID, UUID]]:
    """Those of the keys, each given with its tenant, that are neither revoked nor expired."""
    columns = {"tenant_id": [tenant_id for tenant_id, _ in keys], "key_id": [key_id for _, key_id in keys]}
    return {(row.tenant_id, row.id) for row in await tx.execute(VALID_KEYS, {**columns, "now": now})}


async def _look_up(tx: Tx, sha256: str, asserted: str, now: datetime) -> Caller:
    caller = await _caller(tx, (await tx.execute(FIND_KEY, {"sha256": sha256})).one_or_none(), now)
    if not asserted:
        return caller
    caller.require(frozenset({"actors:assert"}))
    return replace(caller, actor=await _user(tx, caller.tenant_id, asserted))


async def _caller(tx: Tx, row: Record | None, now: datetime) -> Caller:
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        raise KeyUnknown()
    quotas.learn(row.tenant_id, row)
    await tx.execute(RECORD_USE, {"tenant_id": row.tenant_id, "id": row.id, "now": now})
    service = Actor(id=ids.show("key", row.id), kind="service", role="service")
    return Caller(row.tenant_id, row.id, row.name, frozenset(row.scopes), service)


async def _user(tx: Tx, tenant_id: UUID, asserted: str) -> Actor:
    if asserted.startswith("ext:"):
        found = await tx.execute(FIND_USER_BY_EXTERNAL_ID, {"tenant_id": tenant_id, "external_id": asserted[4:]})
    else:
        try:
            user_id = ids.read("user", asserted)
        except ValueError:
            raise ActorUnknown() from None
        found = await tx.execute(FIND_USER, {"tenant_id": tenant_id, "id": user_id})
    row = found.one_or_none()
    if row is None:
        raise ActorUnknown()
    return Actor(id=ids.show("user", row.id), kind="human", role=row.role, user_id=row.id, team=row.team)
