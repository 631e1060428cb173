"""The signing secrets of a subscription: encrypted in the database, several valid during a rotation."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.keyring import KeyRing
from app.webhooks.signing import key_of

MAX_SECRETS = 5
FIELD = "secret"


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One encrypted secret; `expires_at` is None for the newest."""

    sealed: str
    expires_at: datetime | None = None


def initial(ring: KeyRing, tenant_id: UUID, subscription_id: UUID, secret: str) -> list[StoredSecret]:
    """The secrets of a new subscription."""
    return [StoredSecret(ring.seal(tenant_id, subscription_id, FIELD, secret))]


def rotated(stored: list[StoredSecret], new: StoredSecret, now: datetime, grace: timedelta) -> list[StoredSecret]:
    """`new` first; the older ones expire at `now + grace` or earlier, as before. At most five are kept."""
    end = now + grace
    kept = [StoredSecret(old.sealed, min(old.expires_at or end, end)) for old in stored]
    return [new, *(old for old in kept if old.expires_at and old.expires_at > now)][:MAX_SECRETS]


def valid_keys(
    ring: KeyRing, tenant_id: UUID, subscription_id: UUID, stored: list[StoredSecret], now: datetime
) -> list[bytes]:
    """The key bytes to sign with now, newest first. Raises CannotOpen when the ring lacks the encryption key."""
    valid = (secret for secret in stored if secret.expires_at is None or secret.expires_at > now)
    return [key_of(ring.open(tenant_id, subscription_id, FIELD, secret.sealed)) for secret in valid]
