"""The sources behind the keys of ingest addresses, remembered for five seconds at the most, unknown keys too.

So a changed source is in force everywhere within five seconds, and a flood of wrong keys costs nobody else.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Final

from app.database.faults import run_with_retries
from app.database.transaction import Database
from app.keyring import KeyRing
from app.sources import across
from app.sources.ready import ReadySource, ready
from app.sources.secrets import opened
from app.sources.verify import Secrets

REMEMBERED_SECONDS: Final = 5.0
REMEMBERED: Final = 10_000
KEY: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Known:
    """A source that may receive, with the secrets that its senders sign by."""

    source: ReadySource
    secrets: Secrets = field(repr=False)


# Two memories, so that a flood of wrong keys does not push out the right ones: until when, and what.
_found: dict[str, tuple[float, Known | None]] = {}
_missed: dict[str, tuple[float, Known | None]] = {}


def forget(key: str) -> None:
    """Drops what is remembered of a source that changes."""
    _found.pop(key, None)


async def source_behind(engine: Database, ring: KeyRing, key: str) -> Known | None:
    """The source of a key; None for a key that names none. DatabaseUnavailable."""
    now = time.monotonic()
    for memory in (_found, _missed):
        until, known = memory.get(key, (0.0, None))
        if until > now:
            return known
    if KEY.fullmatch(key) is None:
        return None
    known = await run_with_retries(lambda: _look_up(engine, ring, key))
    memory = _missed if known is None else _found
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = now + REMEMBERED_SECONDS, known
    return known


async def _look_up(engine: Database, ring: KeyRing, key: str) -> Known | None:
    async with engine.connect() as tx:
        row = await across.source_with_key(tx, key)
    return None if row is None else Known(ready(row), opened(ring, row))
