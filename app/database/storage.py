"""Whether the disk of the database is full: remembered from errors, and tried when it may be over."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.database.sqlstate import is_disk_full, sqlstate

HELD_SECONDS: Final = 5.0
SEGMENT_BYTES: Final = 16 * 1024 * 1024
NOT_ALLOWED: Final = "42501"
# A megabyte of a temporary table: its file really grows, and is removed at the commit.
TRY_TO_WRITE: Final = (
    "CREATE TEMPORARY TABLE room ON COMMIT DROP AS SELECT md5(n::text) FROM generate_series(1, 16000) n"
)

Begin = Callable[[], AbstractAsyncContextManager[Any]]


def has_no_room(cluster: Path) -> bool:
    """Whether the disk of a PostgreSQL on this machine has no room for a segment of its log: then it cannot start."""
    return shutil.disk_usage(cluster).free < SEGMENT_BYTES


class Storage:
    """One per process and database."""

    def __init__(self) -> None:
        self._full_at: float | None = None

    def saw(self, error: DBAPIError) -> None:
        """Remember the error, if it is one of a full disk."""
        if is_disk_full(error):
            self._full_at = time.monotonic()

    async def is_full(self, begin: Begin) -> bool:
        """True for some seconds after such an error, and then until a write succeeds."""
        if self._full_at is None:
            return False
        if time.monotonic() - self._full_at < HELD_SECONDS:
            return True
        try:
            async with begin() as tx:
                await tx.command(TRY_TO_WRITE)
        except (DBAPIError, PoolTimeout, OSError) as error:
            if sqlstate(error) != NOT_ALLOWED:  # a role without temporary tables finds out by its work
                return True
        self._full_at = None
        return False
