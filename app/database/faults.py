"""Database errors: which are retried, which become a 503 problem, and which are the fault of what is stored."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.database.sqlstate import AWAY, CONTENDED, OF_DATA, RETRIED, UNAVAILABLE, is_disk_full, sqlstate
from app.database.transaction import ChangedMeanwhile, CommitOutcomeUnknown, is_connection_lost
from app.errors import DatabaseUnavailable
from app.problem import Problem

T = TypeVar("T")
TRIES: Final = 3
# Raised when the database is slow, busy or unreachable, or other transactions were faster.
DATABASE_ERRORS: Final = (DBAPIError, PoolTimeout, OSError, ChangedMeanwhile)


def as_problem(error: BaseException) -> Problem | None:
    """The 503 problem for a database that is unreachable, busy, full or failing; None for any other error."""
    if isinstance(error, PoolTimeout | TimeoutError | CommitOutcomeUnknown | ChangedMeanwhile) or is_connection_lost(
        error
    ):
        return DatabaseUnavailable()
    if isinstance(error, DBAPIError) and sqlstate(error).startswith(UNAVAILABLE):
        return DatabaseUnavailable()
    return None


def is_contended(error: BaseException) -> bool:
    """Whether other transactions stood in the way, or it took too long."""
    cause = _cause(error)
    return isinstance(cause, ChangedMeanwhile) or sqlstate(cause) in CONTENDED


def is_away(error: BaseException) -> bool:
    """Whether the database can do nothing now, so that all work has to wait."""
    cause = _cause(error)
    if isinstance(cause, PoolTimeout | OSError) or is_connection_lost(cause):
        return True
    return not is_contended(cause) and (sqlstate(cause).startswith(AWAY) or is_disk_full(cause))


def is_of_data(error: BaseException) -> bool:
    """Whether what was to be stored is at fault, and not the database, its schema, its rights or its load."""
    if isinstance(error, DatabaseUnavailable) or as_problem(error) is not None:
        return False
    return not isinstance(error, DBAPIError) or sqlstate(error).startswith(OF_DATA) or not sqlstate(error)


def _cause(error: BaseException) -> BaseException:
    """The database's error, of which a problem was made."""
    return error.__cause__ or error if isinstance(error, DatabaseUnavailable) else error


async def run_with_retries(work: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, again after a deadlock or ChangedMeanwhile (three runs at most) or a connection lost in the
    first; else 503."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return await work()
        except DATABASE_ERRORS as error:
            repeatable = isinstance(error, ChangedMeanwhile) or sqlstate(error) in RETRIED
            repeatable = repeatable or (is_connection_lost(error) and left == TRIES - 1)
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
