"""The keys that a subscription signs with: encrypted in the database, several valid during a rotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """One encrypted secret; `expires_at` is None for the newest, `public_key` for one of `v1`."""

    sealed: str
    expires_at: datetime | None = None
    public_key: str | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


@dataclass(frozen=True, slots=True)
class TooManyKeys:
    """Five keys are valid, until the first of them expires."""

    until: datetime


def stored(ring: KeyRing, tenant_id: UUID, subscription_id: UUID, kind: Kind, secret: str) -> StoredSecret:
    """A secret that `read_key` takes, encrypted; with its public key if it has one."""
    public = public_key(private_key_of(secret)) if kind == "v1a" else None
    return StoredSecret(ring.seal(tenant_id, subscription_id, FIELDS[kind], secret), public_key=public)


def rotated(
    older: Sequence[StoredSecret], new: StoredSecret, now: datetime, grace: timedelta, others: Sequence[StoredSecret]
) -> list[StoredSecret] | TooManyKeys:
    """`new` first; the older ones of its kind expire at `now + grace` or earlier, as before.

    TooManyKeys when more than five would be valid with `others`, the keys of the other kind.
    """
    end = now + grace
    kept = [StoredSecret(old.sealed, min(old.expires_at or end, end), old.public_key) for old in older]
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
        StoredSecret(each["sealed"], _instant(each["expires_at"]), each.get("public_key"))
        for each in orjson.loads(text or "[]")
    ]


def secrets_json(secrets: Sequence[StoredSecret]) -> str:
    shown = [{"sealed": each.sealed, "expires_at": each.expires_at} for each in secrets]
    for each, members in zip(secrets, shown, strict=True):
        if each.public_key:
            members["public_key"] = each.public_key
    return orjson.dumps(shown).decode()


def keys_of(row: Row[Any], kind: Kind) -> list[StoredSecret]:
    """The stored keys of a subscription of one kind; there may be none of `v1a`."""
    return read_secrets(getattr(row, COLUMNS[kind]))


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
