"""Cache of sources by ingest key, for five seconds; unknown keys are cached too.

A changed source takes effect in every process within five seconds, and repeated requests with an unknown key do not
reach the database.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from app.database.faults import run_with_retries
from app.database.transaction import Database
from app.errors import SecretKeysMissing
from app.keyring import KeyRing
from app.sources import across
from app.sources.ready import ReadySource, ready_source
from app.sources.secrets import open_secrets
from app.sources.verify import Secrets
from app.web import quotas

CACHE_SECONDS: Final = 5.0
CACHE_SIZE: Final = 10_000
KEY_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class CachedSource:
    """A source that is not archived, with its decrypted secrets; none where `secrets_readable` is false."""

    source: ReadySource
    secrets: Secrets = field(repr=False)
    secrets_readable: bool = True


# key: (expiry, source). Unknown keys have a cache of their own, so that many of them cannot evict real sources.
_found: dict[str, tuple[float, CachedSource | None]] = {}
_unknown: dict[str, tuple[float, CachedSource | None]] = {}
# How often each source was changed: one that changes during its look-up is not cached as it was before.
_changes: Counter[str] = Counter()


def invalidate(key: str) -> None:
    """Removes a source from the cache of this process, once its change is committed."""
    _found.pop(key, None)
    _changes[key] += 1


async def source_by_key(engine: Database, ring: KeyRing, key: str) -> CachedSource | None:
    """The source with this key, from the cache or the database; None for an unknown key.

    Raises DatabaseUnavailable when it has to ask the database, and cannot.
    """
    now = time.monotonic()
    for cache in (_found, _unknown):
        expires_at, known = cache.get(key, (0.0, None))
        if expires_at > now:
            return known
    if KEY_PATTERN.fullmatch(key) is None:
        return None
    changes = _changes[key]
    known = await run_with_retries(lambda: _look_up(engine, ring, key))
    if _changes[key] != changes:
        return known
    cache = _unknown if known is None else _found
    if len(cache) >= CACHE_SIZE:
        cache.clear()
    cache[key] = now + CACHE_SECONDS, known
    return known


async def _look_up(engine: Database, ring: KeyRing, key: str) -> CachedSource | None:
    async with engine.connect() as tx:
        row = await across.source_with_key(tx, key)
    if row is None:
        return None
    quotas.learn(row.tenant_id, row)
    try:
        return CachedSource(ready_source(row), open_secrets(ring, row))
    except SecretKeysMissing:
        return CachedSource(ready_source(row), {}, secrets_readable=False)
