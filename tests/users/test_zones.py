"""Time zones: each that is accepted is one that the database knows, too, since reports ask it for the days."""

from __future__ import annotations

from sqlalchemy import text

from app.database.transaction import Tx
from app.tenants.schemas import ZONES


async def test_the_database_knows_each_time_zone_that_is_accepted(tx: Tx) -> None:
    known = {row.name for row in await tx.execute(text("SELECT name FROM pg_timezone_names"))}
    assert ZONES - known == set()
