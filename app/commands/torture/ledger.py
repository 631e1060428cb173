"""What happened in a run, as a file of JSON lines in the order of occurrence: the service cannot write to it.

Each line has `what` and `at` (seconds since the beginning of the run); the other members are those of the functions of
`judge.py` that read them. Lines are written at once, and flushed to the disk several times a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import orjson

SYNC_SECONDS: Final = 0.1
Entry = dict[str, Any]


class Ledger:
    """An append-only file; `counts` has how many lines there are of each kind."""

    def __init__(self, path: Path) -> None:
        self.path, self.counts = path, dict[str, int]()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since the beginning of the run."""
        return time.monotonic() - self._began

    def note(self, what: str, **members: Any) -> None:
        """Append a line. `at` may be given for what began earlier."""
        self.counts[what] = self.counts.get(what, 0) + 1
        os.write(self._file, orjson.dumps({"what": what, "at": self.now, **members}) + b"\n")

    async def sync_forever(self) -> None:
        """Flush to the disk again and again, in a thread."""
        while True:
            await asyncio.to_thread(os.fsync, self._file)
            await asyncio.sleep(SYNC_SECONDS)

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)


def read(path: Path) -> list[Entry]:
    """The lines of a ledger."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
