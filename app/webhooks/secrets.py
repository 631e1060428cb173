"""The keys that a subscription signs with: encrypted in the database, several valid during a rotation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Row

from app.keyring import KeyRing
from app.webhooks.signing import Key, Kind, private_key_of, public_key, read_key

MAX_KEYS: Final = 5
COLUMNS: Final[dict[Kind, str]] = {"v1": "secrets", "v1a": "ed25519_keys"}
FIELDS: Final[dict[Kind, str]] = {"v1": "secret", "v1a": "ed25519"}


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One encrypted secret; `expires_at` is None for the newest, `public_key` for one of `v1`.

    `id` and `created_at` are None for one of an older release.
    """

    sealed: str
    expires_at: datetime | None = None
    public_key: str | None = None
    id: str | None = None
    created_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


@dataclass(frozen=True, slots=True)
class TooManyKeys:
    """Five keys are valid, until the first of them expires."""

    until: datetime


def stored(
    ring: KeyRing, tenant_id: UUID, subscription_id: UUID, kind: Kind, secret: str, now: datetime
) -> StoredSecret:
    """A secret that `read_key` takes, encrypted; with its public key if it has one."""
    public = public_key(private_key_of(secret)) if kind == "v1a" else None
    sealed = ring.seal(tenant_id, subscription_id, FIELDS[kind], secret)
    return StoredSecret(sealed, public_key=public, id=key_id(secret), created_at=now)


def key_id(secret: str) -> str:
    """By which people tell keys from each other; 48 bits of the hash of at least 192 random ones reveal nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def rotated(
    older: Sequence[StoredSecret], new: StoredSecret, now: datetime, grace: timedelta, others: Sequence[StoredSecret]
) -> list[StoredSecret] | TooManyKeys:
    """`new` first; the older ones of its kind expire at `now + grace` or earlier, as before.

    TooManyKeys when more than five would be valid with `others`, the keys of the other kind.
    """
    end = now + grace
    kept = [replace(old, expires_at=min(old.expires_at or end, end)) for old in older]
    valid = [new, *(old for old in kept if old.is_valid(now))]
    all_valid = [*valid, *(key for key in others if key.is_valid(now))]
    if len(all_valid) > MAX_KEYS:
        return TooManyKeys(min(key.expires_at for key in (*older, *others) if key.expires_at and key.is_valid(now)))
    return valid


def opened(
    ring: KeyRing, tenant_id: UUID, subscription_id: UUID, kind: Kind, secrets: Sequence[StoredSecret], now: datetime
) -> list[tuple[Key, datetime | None]]:
    """The keys valid now, newest first, and when each expires. Raises CannotOpen when the ring lacks their key."""
    return [
        (read_key(kind, ring.open(tenant_id, subscription_id, FIELDS[kind], secret.sealed)), secret.expires_at)
        for secret in secrets
        if secret.is_valid(now)
    ]


def read_secrets(text: str | None) -> list[StoredSecret]:
    """The stored secrets of one kind, newest first."""
    return [
        StoredSecret(
            each["sealed"],
            _instant(each["expires_at"]),
            each.get("public_key"),
            each.get("id"),
            _instant(each.get("created_at")),
        )
        for each in orjson.loads(text or "[]")
    ]


def secrets_json(secrets: Sequence[StoredSecret]) -> str:
    always = ("sealed", "expires_at")
    members = [asdict(each) for each in secrets]
    return orjson.dumps([{k: v for k, v in one.items() if v is not None or k in always} for one in members]).decode()


def keys_of(row: Row[Any], kind: Kind) -> list[StoredSecret]:
    """The stored keys of a subscription of one kind; there may be none of `v1a`."""
    return read_secrets(getattr(row, COLUMNS[kind]))


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
