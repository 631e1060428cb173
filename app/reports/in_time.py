"""Refuses a report that cannot be read in the time that a statement may take, instead of asking to try it again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError

from app.database.sqlstate import CANCELED, sqlstate
from app.errors import RequestInvalid

TOO_LONG: Final = (
    "counting this took longer than a statement of the database may take: ask for a shorter {},"
    " or again when the database has less to do"
)


@asynccontextmanager
async def in_time(field: str, what: str = "window") -> AsyncIterator[None]:
    """Raises RequestInvalid that names the field where PostgreSQL has ended a statement of the block for its length."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) != CANCELED:
            raise
        raise RequestInvalid.of(field, "too_much_history", TOO_LONG.format(what)) from error
