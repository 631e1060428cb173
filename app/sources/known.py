"""The sources behind the keys of ingest addresses, remembered for five seconds at the most, unknown keys too.

So a changed source is in force everywhere within five seconds, and a flood of wrong keys costs nobody else.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Final, TypeVar

from app.database import Database, again
from app.keyring import KeyRing
from app.sources import across
from app.sources.ready import ReadySource, ready
from app.sources.secrets import opened
from app.sources.verify import Secrets

REMEMBERED_SECONDS: Final = 5.0
REMEMBERED: Final = 10_000
KEY: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """A source that may receive, with the secrets that its senders sign by."""

    source: ReadySource
    secrets: Secrets = field(repr=False)


_found: dict[str, tuple[float, Known]] = {}
_missed: dict[str, float] = {}


def forget(key: str | None = None) -> None:
    """Drops what is remembered of one key, or of all."""
    if key is None:
        _found.clear()
        _missed.clear()
    else:
        _found.pop(key, None)
        _missed.pop(key, None)


async def source_behind(engine: Database, ring: KeyRing, key: str) -> Known | None:
    """The source of a key; None for a key that names none. DatabaseUnavailable."""
    now = time.monotonic()
    remembered = _found.get(key)
    if remembered is not None and remembered[0] > now:
        return remembered[1]
    if _missed.get(key, 0.0) > now or KEY.fullmatch(key) is None:
        return None
    known = await again(lambda: _look_up(engine, ring, key))
    if known is None:
        _remember(_missed, key, now + REMEMBERED_SECONDS)
    else:
        _remember(_found, key, (now + REMEMBERED_SECONDS, known))
    return known


async def _look_up(engine: Database, ring: KeyRing, key: str) -> Known | None:
    async with engine.connect() as tx:
        row = await across.source_with_key(tx, key)
    return None if row is None else Known(ready(row), opened(ring, row))


def _remember(memory: dict[str, T], key: str, value: T) -> None:
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = value
