"""Database errors: which are retried, and which become a 503 problem."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.database.transaction import CommitOutcomeUnknown, is_connection_lost, sqlstate
from app.errors import DatabaseUnavailable, Problem

T = TypeVar("T")
RETRIED: Final = {"40P01", "40001"}  # deadlock, serialization failure: the whole transaction is run again
BUSY: Final = {"57014", "55P03", "53300", "53400", "57P01", "57P02", "57P03", "25006", "25P03", "25P04"}
TRIES: Final = 3
DATABASE_ERRORS: Final = (DBAPIError, PoolTimeout, OSError)  # raised when the database is slow, busy or unreachable


def as_problem(error: BaseException) -> Problem | None:
    """The 503 problem for a database that is slow, busy or unreachable; None for any other error."""
    if isinstance(error, PoolTimeout | TimeoutError | CommitOutcomeUnknown) or is_connection_lost(error):
        return DatabaseUnavailable()
    if isinstance(error, DBAPIError) and (sqlstate(error) in BUSY | RETRIED):
        return DatabaseUnavailable()
    return None


async def run_with_retries(work: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, again after a deadlock (three runs at most) or a connection lost in the first; else 503."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return await work()
        except DATABASE_ERRORS as error:
            repeatable = sqlstate(error) in RETRIED or (is_connection_lost(error) and left == TRIES - 1)
            if left and repeatable:
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - jitter, not a secret
                continue
            problem = as_problem(error)
            if problem is None:
                raise
            raise problem from error
    raise AssertionError("unreachable: the last try returns or raises")


def error_fields(error: BaseException) -> dict[str, Any]:
    """The fields that log an error: type, SQLSTATE and stack, without its text, which may quote personal data."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "error": type(error).__name__,
        "sqlstate": sqlstate(error) or None,
        "where": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
